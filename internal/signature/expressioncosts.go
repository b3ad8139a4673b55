// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// regexPerUnit is the length of a regular expression that costs as much as a text of
// bytesPerUnit bytes that it reads (common.RegexStringLengthCostFactor of cel-go).
const regexPerUnit = 4

// costs is an interpreter.ActualCostEstimator. It counts the size of the arguments of each
// call. The costs of CEL count the elements of lists and maps, but not what these contain, and
// 1 for many calls that read a whole text, as size.
type costs struct{}

// CallCost implements interpreter.ActualCostEstimator.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	cost := 1
	switch function {
	case operators.Equals, operators.NotEquals:
		cost = smaller(args[0], args[1])
	case operators.In, operators.OldIn:
		if list, ok := args[1].(traits.Lister); ok {
			cost = weigh(list, maxCost)
		}
	default:
		for _, arg := range args {
			switch arg.(type) {
			case types.String, types.Bytes:
				cost += weigh(arg, maxCost)
			}
		}
	}
	return new(uint64(max(cost, 1)))
}

// smaller returns the size of the smaller one of two values, in a time that is linear in it.
func smaller(a, b ref.Val) int {
	for limit := bytesPerUnit; limit <= maxCost; limit *= bytesPerUnit {
		if size := min(weigh(a, limit), weigh(b, limit)); size <= limit {
			return size
		}
	}
	return maxCost + 1
}

// meteredMatch returns a call of matches that charges, before it, the text that is read.
func meteredMatch(call interpreter.InterpretableCall) (interpreter.Interpretable, error) {
	args := call.Args()
	literal, ok := args[len(args)-1].(interpreter.InterpretableConst)
	if !ok {
		return call, nil // regexLimit has refused it
	}
	pattern, _ := literal.Value().Value().(string)
	size, err := selection.ExpressionSize(pattern)
	if err != nil {
		return nil, err
	}
	text := meteredText{args[0], 1 + size/regexPerUnit}
	metered := interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), []interpreter.Interpretable{text, literal}, nil)
	return interpreter.MatchesRegexOptimization.Factory(metered, pattern)
}

// meteredText charges a text that a regular expression reads.
type meteredText struct {
	interpreter.Interpretable
	factor int // for the length of the regular expression
}

// Eval implements interpreter.Interpretable.
func (t meteredText) Eval(vars interpreter.Activation) ref.Val {
	v := t.Interpretable.Eval(vars)
	meterOf(vars).take(weigh(v, maxCost) * t.factor)
	return v
}

// variableNames is a cel.ASTValidator. It refuses macros whose variable has the name of another
// one.
type variableNames struct{}

// Name implements cel.ASTValidator.
func (variableNames) Name() string { return "variableNames" }

// Validate implements cel.ASTValidator.
func (variableNames) Validate(_ *cel.Env, _ cel.ValidatorConfig, parsed *celast.AST, issues *cel.Issues) {
	for _, loop := range celast.MatchDescendants(celast.NavigateAST(parsed), celast.KindMatcher(celast.ComprehensionKind)) {
		for _, name := range []string{loop.AsComprehension().IterVar(), loop.AsComprehension().IterVar2()} {
			switch name {
			case varPredicate, varPredicateType, varNow:
				issues.ReportErrorAtID(loop.ID(), "%s can't be the name of an element: it is a variable: use another name", name)
			}
		}
	}
}
