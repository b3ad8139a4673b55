// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"errors"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

const (
	// bytesPerUnit is the number of bytes of a text that weigh as much as a number
	// (common.StringTraversalCostFactor of cel-go).
	bytesPerUnit = 10
	// maxRegex bounds the size of a regular expression, with its repetitions written out.
	// regexp allows some million, which take more than 100 MB.
	maxRegex = 500
)

// meter bounds the values that one evaluation makes. CEL adds the cost of a call after it
// returns, and counts 1 for a call whose overload is not known from the types, and for any
// list or map (github.com/google/cel-go/interpreter, CostTracker).
type meter struct{ left int }

// charge stops the evaluation, as the cost limit does, if a value is too large.
func (m *meter) charge(v ref.Val) { m.take(weigh(v, m.left)) }

// take stops the evaluation, as the cost limit does, if less than units is left.
func (m *meter) take(units int) {
	if m.left -= units; m.left < 0 {
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: "the values are too large"})
	}
}

// meterOf returns the meter of an evaluation.
func meterOf(vars interpreter.Activation) *meter {
	if found, ok := vars.ResolveName(varMeter); ok {
		if m, ok := found.(*meter); ok {
			return m
		}
	}
	return &meter{} // stops the evaluation
}

// charge charges a value to the meter of the evaluation, and returns it.
func charge(vars interpreter.Activation, v ref.Val) ref.Val {
	meterOf(vars).charge(v)
	return v
}

// metered is an interpreter.InterpretableDecorator. It charges what can make a value larger
// than those that exist: literals of lists and maps, also those in macros, and the calls that
// copy.
func metered(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	switch i := i.(type) {
	case interpreter.InterpretableConstructor:
		if i.Type() != types.ListType && i.Type() != types.MapType {
			return nil, errors.New("it makes a message of protobuf: write a map")
		}
		for _, value := range i.InitVals() {
			if _, constant := value.(interpreter.InterpretableConst); !constant {
				return meteredConstructor{i}, nil
			}
		}
	case interpreter.InterpretableCall:
		switch i.Function() {
		case operators.Add, overloads.TypeConvertString, overloads.TypeConvertBytes:
			return meteredCall{i}, nil
		case overloads.Matches:
			return meteredMatch(i)
		}
	}
	return i, nil
}

// meteredConstructor charges the list or map that it makes.
type meteredConstructor struct {
	interpreter.InterpretableConstructor
}

// Eval implements interpreter.Interpretable.
func (c meteredConstructor) Eval(vars interpreter.Activation) ref.Val {
	return charge(vars, c.InterpretableConstructor.Eval(vars))
}

// meteredCall charges the result of a call.
type meteredCall struct{ interpreter.InterpretableCall }

// Eval implements interpreter.Interpretable. Only macros may append to lists, whose elements
// are charged: the time to read an element of other joined lists is linear in their size.
func (c meteredCall) Eval(vars interpreter.Activation) ref.Val {
	switch result := c.InterpretableCall.Eval(vars).(type) {
	case traits.MutableLister:
		return result
	case traits.Lister:
		return types.NewErr("lists can't be joined: check each of them")
	default:
		return charge(vars, result)
	}
}

// weigh returns the size of a value with all that it contains, as often as it contains it. It
// stops if that exceeds limit.
func weigh(v ref.Val, limit int) int {
	switch v := v.(type) {
	case types.String:
		return 1 + len(v)/bytesPerUnit
	case types.Bytes:
		return 1 + len(v)/bytesPerUnit
	case *types.Optional:
		if v.HasValue() {
			return 1 + weigh(v.GetValue(), limit-1)
		}
	case traits.Mapper:
		return weighEach(v, limit, func(key ref.Val, limit int) int { return weigh(key, limit) + weigh(v.Get(key), limit) })
	case traits.Lister:
		return weighEach(v, limit, weigh)
	}
	return 1
}

// weighEach returns the size of a list or map, with the function for its elements or keys.
func weighEach(v traits.Iterable, limit int, weighOne func(ref.Val, int) int) int {
	total := 1
	for it := v.Iterator(); total <= limit && it.HasNext() == types.True; {
		total += weighOne(it.Next(), limit-total)
	}
	return total
}

// regexLimit is a cel.ASTValidator. It checks the regular expressions of matches, which must be
// literals, before they are compiled.
type regexLimit struct{}

// Name implements cel.ASTValidator.
func (regexLimit) Name() string { return "regexLimit" }

// Validate implements cel.ASTValidator.
func (regexLimit) Validate(_ *cel.Env, _ cel.ValidatorConfig, parsed *celast.AST, issues *cel.Issues) {
	for _, call := range celast.MatchDescendants(celast.NavigateAST(parsed), celast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args()
		last := args[len(args)-1]
		if last.Kind() != celast.LiteralKind {
			issues.ReportErrorAtID(last.ID(), "invalid matches argument: write the regular expression as a literal")
			continue
		}
		pattern, _ := last.AsLiteral().Value().(string)
		size, err := selection.ExpressionSize(pattern)
		switch {
		case err != nil:
			issues.ReportErrorAtID(last.ID(), "invalid matches argument: %s", err.Error())
		case size > maxRegex:
			issues.ReportErrorAtID(last.ID(), "invalid matches argument: its length is more than %d, with repetitions: repeat less", maxRegex)
		}
	}
}
