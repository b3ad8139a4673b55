// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	intoto "github.com/in-toto/attestation/go/v1"
	. "github.com/onsi/gomega"
	"google.golang.org/protobuf/types/known/structpb"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// maxAllocated is the memory that one evaluation may allocate in tests, in bytes.
const maxAllocated = 512 << 20

// checkExpression compiles an expression and checks it for a predicate. It also returns the
// memory that this allocates.
func checkExpression(t *testing.T, text string, predicate map[string]any) (uint64, error) {
	t.Helper()
	fields, err := structpb.NewStruct(predicate)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, err := newExpression("cel", text)
	if err == nil {
		// the deadline stops the test if an expression is not bounded
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = e.check(ctx, &intoto.Statement{PredicateType: sbom, Predicate: fields}, time.Now())
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// doubled returns an expression that binds x to a value, replaces it 40 times by the text of
// next, which has it twice, and then has the text of last.
func doubled(first, next, last string) string {
	return "[" + first + "]" + strings.Repeat(".map(x, "+next+")", 40) + last
}

// TestExpression_BoundsMemory tests expressions that would make large values, with one
// function or by doubling a value.
func TestExpression_BoundsMemory(t *testing.T) {
	predicate := map[string]any{"text": strings.Repeat("x", 1<<20), "one": "x", "list": []any{"x"}, "few": make([]any, 200)}
	const limit = "cel exceeds the cost limit of 1000000"
	nested := "true"
	for i := range 40 {
		nested = fmt.Sprintf("[[x%[1]d, x%[1]d]].all(x%[2]d, %[3]s)", 39-i, 40-i, nested)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"Range":             {"lists.range(2000000000).size() > 0", "undeclared reference to 'lists'"},
		"Replace":           {"predicate.one" + strings.Repeat(".replace('x', 'xxxxxxxxxx')", 10) + " == ''", "undeclared reference to 'replace'"},
		"Join":              {"predicate.few.map(f, predicate.text).join() == ''", "undeclared reference to 'join'"},
		"Format":            {"'%1000000000d'.format([1]) == ''", "undeclared reference to 'format'"},
		"Split":             {"predicate.text.split('').size() == 1", "undeclared reference to 'split'"},
		"Flatten":           {"[[1]].flatten() == [1]", "undeclared reference to 'flatten'"},
		"Sets":              {"sets.contains(predicate.list, predicate.list)", "undeclared reference to 'sets'"},
		"Strings":           {doubled("'x'", "x + x", "[0] == ''"), limit},
		"DynamicStrings":    {doubled("predicate.one", "x + x", "[0] == ''"), limit},
		"ManyStrings":       {"predicate.few.map(f, predicate.text + predicate.one).size() == 0", limit},
		"Lists":             {doubled("[1]", "x + x", "[0] == [2]"), "lists can't be joined: check each of them"},
		"DynamicLists":      {doubled("predicate.list", "x + x", "[0].exists(y, y == 1)"), "lists can't be joined"},
		"ListsIn":           {doubled("predicate.list", "x + x", ".exists(y, 1 in y)"), "lists can't be joined"},
		"NestedLists":       {doubled("dyn([1])", "dyn([x, x])", ".exists(y, y == [y, y])"), limit},
		"NestedMaps":        {doubled("dyn([1])", "dyn({'a': x, 'b': x})", ".exists(y, y == {})"), limit},
		"NestedMacros":      {"[dyn(1)].all(x0, " + nested + ")", limit},
		"NestedOptionals":   {"optional.of(dyn('x'))" + strings.Repeat(".optMap(x, x + x)", 40) + ".hasValue()", "undeclared reference to 'x'"},
		"NestedInErrors":    {doubled("dyn([1])", "dyn([x, x])", ".exists(y, {'a': 1}[y] == 1)"), limit},
		"Bytes":             {"predicate.few.map(f, bytes(predicate.text)).size() == 0", limit},
		"BytesToString":     {"[bytes(predicate.text)].all(b, predicate.few.map(f, string(b)).size() == 0)", limit},
		"Messages":          {"google.protobuf.ListValue{values: [google.protobuf.Value{}]} == []", "makes a message of protobuf: write a map"},
		"RepeatedRegex":     {"predicate.one.matches('" + strings.Repeat("(x|y.)", 400) + "{1000}')", "invalid matches argument: its length is more than 500"},
		"NestedRegex":       {"predicate.one.matches('((x{30}){30})')", "repeat less"},
		"ConcatenatedRegex": {"predicate.one.matches(predicate.text)", "invalid matches argument: write the regular expression as a literal"},
	} {
		t.Run(name, func(t *testing.T) {
			allocated, err := checkExpression(t, tc.text, predicate)
			g := NewWithT(t)
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
			g.Expect(allocated).To(BeNumerically("<", maxAllocated), "bytes allocated")
		})
	}
}

// TestExpression_BoundsTime tests expressions that read large values many times, or with a
// regular expression.
func TestExpression_BoundsTime(t *testing.T) {
	few, many := make([]any, 1000), make([]any, 200_000)
	for i := range many {
		many[i] = float64(i)
	}
	predicate := map[string]any{"text": strings.Repeat("x", 3<<20), "few": few, "many": many, "nested": []any{many}}
	for name, text := range map[string]string{
		"Equal":      "predicate.few.all(x, predicate == predicate)",
		"NotEqual":   "predicate.few.all(x, !(predicate.many != predicate.many))",
		"Nested":     "predicate.few.all(x, predicate.nested == predicate.nested)",
		"In":         "predicate.few.all(x, !(-1 in predicate.many))",
		"InNested":   "predicate.few.all(x, predicate.many in predicate.nested)",
		"Size":       "predicate.few.all(x, size(predicate.text) > 0)",
		"Contains":   "predicate.few.all(x, !predicate.text.contains('y'))",
		"Less":       "predicate.few.all(x, predicate.text <= predicate.text)",
		"Matches":    "predicate.few.all(x, predicate.text.matches('^x*$'))",
		"LargeRegex": "!predicate.text.matches('((x|y){30}){5}z')",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := checkExpression(t, text, predicate)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring("cel exceeds the cost limit")))
			NewWithT(t).Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second)) // 1 s without load
		})
	}
}

// TestExpression_ComparesValues tests that values of different size are compared at the cost
// of the smaller one.
func TestExpression_ComparesValues(t *testing.T) {
	predicate := map[string]any{"many": make([]any, 200_000), "few": make([]any, 1000), "text": "x"}
	for _, text := range []string{
		"predicate.few.all(x, predicate.many != [])", "predicate.few.all(x, predicate != 1)",
		"predicate.many == predicate.many", "predicate.text in ['x']", "predicate.text.matches('^(x|y){1,8}$')",
	} {
		_, err := checkExpression(t, text, predicate)
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), text)
	}
}

// TestExpression_AllowsLargePredicates tests expressions whose values are as large as a
// predicate can be.
func TestExpression_AllowsLargePredicates(t *testing.T) {
	var packages []any
	for i := range 15_000 {
		packages = append(packages, map[string]any{"name": fmt.Sprintf("package-%05d", i), "license": "Apache-2.0", "files": []any{"a", "b"}})
	}
	for _, text := range []string{
		"predicate.packages.map(p, p.name + '@1').size() == 15000",
		"predicate.packages.filter(p, p.license == 'MIT').size() == 0",
		"predicate.packages.filter(p, p.name.startsWith('package')).size() == 15000",
		"predicate.packages.all(p, p.license in ['MIT', 'Apache-2.0'])",
		"predicate.packages.all(p, p.name.matches('^package-[0-9]{5}$'))",
		"predicate.?sources.orValue([]).size() == 0",
	} {
		_, err := checkExpression(t, text, map[string]any{"packages": packages})
		NewWithT(t).Expect(err).NotTo(HaveOccurred(), text)
	}
}

// TestExpression_FailsWithoutEnvironment tests that a failure to create the environment is not
// an error in the policy.
func TestExpression_FailsWithoutEnvironment(t *testing.T) {
	created := environment
	t.Cleanup(func() { environment = created })
	environment = func() (*cel.Env, error) { return nil, errors.New("broken") }
	err := CheckRequirements([]v1.AttestationRequirement{{PredicateType: sbom, CEL: "true"}})
	NewWithT(t).Expect(err).To(MatchError("failed to create the environment of CEL: broken"))
	_, invalid := errors.AsType[*InvalidError](err)
	NewWithT(t).Expect(invalid).To(BeFalse(), "an *InvalidError")
}
