// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// maxCost bounds the evaluation of an expression, in the units of CEL, and the size of all
	// values that it makes, in those of weigh. It is the limit of a call in Kubernetes, which
	// takes about 0.1 s (https://pkg.go.dev/k8s.io/apiserver/pkg/apis/cel#PerCallLimit).
	maxCost = 1_000_000
	// interruptEvery is the number of iterations after which the context is checked, as in
	// Kubernetes.
	interruptEvery = 100
)

// The variables of expressions.
const (
	varPredicate     = "predicate"
	varPredicateType = "predicateType"
	varNow           = "now"
	varMeter         = "@meter" // not an identifier of CEL
)

// environment returns the environment of expressions: the standard functions and optional
// values. The extensions of github.com/google/cel-go/ext are left out, because the cost of
// their calls does not depend on the size of the results, as of replace and lists.range. So
// are the macros of optional values, which repeat their target: nested, they make an
// expression of exponential size.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable(varPredicate, cel.DynType),
		cel.Variable(varPredicateType, cel.StringType),
		cel.Variable(varNow, cel.TimestampType),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		cel.ClearMacros(),
		cel.Macros(cel.StandardMacros...),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), regexLimit{}, variableNames{}),
	)
})

// expression is a compiled expression about an attestation.
type expression struct {
	program   cel.Program
	usesClock bool
}

// newExpression compiles an expression. It fails with an *InvalidError that contains the
// position of the error, or with another error if CEL can't be used at all. field is the path
// of the expression in the policy.
func newExpression(field, text string) (*expression, error) {
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("failed to create the environment of CEL: %w", err)
	}
	source := common.NewStringSource(text, field)
	compiled, issues := env.CompileSource(source)
	if issues.Err() != nil {
		return nil, invalidSpecf("%s", describeIssue(issues.Errors()[0], source))
	}
	if kind := compiled.OutputType(); !kind.IsExactType(cel.BoolType) && !kind.IsExactType(cel.DynType) {
		return nil, invalidSpecf("%s must be true or false, but is of the type %s: compare it with a value", field, kind)
	}
	program, err := env.Program(compiled,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxCost),
		cel.CostTracking(costs{}),
		cel.CustomDecorator(metered),
		cel.InterruptCheckFrequency(interruptEvery),
	)
	if err != nil {
		return nil, invalidSpecf("%s can't be compiled: %s", field, err)
	}
	return &expression{program: program, usesClock: usesClock(compiled)}, nil
}

// describeIssue describes an error with its position, and marks it in the expression.
func describeIssue(issue *common.Error, source common.Source) string {
	described := *issue
	described.Message = strings.TrimSuffix(issue.Message, " (in container '')")
	if name, unknown := strings.CutPrefix(described.Message, "undeclared reference to "); unknown {
		described.Message += ": " + hint(strings.Trim(name, "'"))
	}
	return strings.Replace(described.ToDisplayString(source), "ERROR: ", "", 1)
}

// hint returns what to write in place of a name that is not declared.
func hint(name string) string {
	switch name {
	case varPredicate, varPredicateType, varNow:
		return fmt.Sprintf("%[1]s is a variable: write %[1]s", name)
	}
	return "the variables are predicate, predicateType and now"
}

// usesClock reports whether an expression uses the variable now. No other variable has its name.
func usesClock(compiled *cel.Ast) bool {
	for _, reference := range compiled.NativeRep().ReferenceMap() {
		if reference.Name == varNow {
			return true
		}
	}
	return false
}

// check evaluates the expression for a statement. It returns a rejection if the expression
// is false or fails, and another error if ctx is done.
func (e *expression) check(ctx context.Context, statement *intoto.Statement, now time.Time) error {
	variables, err := variablesOf(statement, now)
	if err != nil {
		return err
	}
	result, _, err := e.program.ContextEval(ctx, variables)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isCostLimit(err):
		return rejection(fmt.Sprintf("cel exceeds the cost limit of %d: check fewer elements of the predicate", maxCost))
	case err != nil:
		return rejection("cel failed: " + printable(err.Error()))
	case result == types.True:
		return nil
	case result == types.False:
		return rejection("cel is false")
	}
	return rejection(fmt.Sprintf("cel failed: it must be true or false, but is of the type %s", result.Type()))
}

// variablesOf returns the values of the variables.
func variablesOf(statement *intoto.Statement, now time.Time) (cel.Activation, error) {
	predicate := statement.GetPredicate()
	if predicate == nil {
		predicate = &structpb.Struct{}
	}
	return cel.NewActivation(map[string]any{
		varPredicate: predicate, varPredicateType: statement.GetPredicateType(), varNow: now, varMeter: &meter{left: maxCost},
	})
}

// isCostLimit reports whether an evaluation was stopped by the cost limit.
func isCostLimit(err error) bool {
	cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err)
	return ok && cancelled.Cause == interpreter.CostLimitExceeded
}
