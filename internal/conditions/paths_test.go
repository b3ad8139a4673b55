// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// reasonsByName are the reasons that the code may name. One that is not here is
// found by TestPaths_CoverEveryReason.
var reasonsByName = map[string]string{
	"v1.AuthenticationFailedReason":   v1.AuthenticationFailedReason,
	"v1.FailureReason":                v1.FailureReason,
	"v1.ImageURLInvalidReason":        v1.ImageURLInvalidReason,
	"v1.InvalidPolicyReason":          v1.InvalidPolicyReason,
	"v1.NoTagSelectedReason":          v1.NoTagSelectedReason,
	"v1.RateLimitedReason":            v1.RateLimitedReason,
	"v1.ReadOperationFailedReason":    v1.ReadOperationFailedReason,
	"v1.VerificationErrorReason":      v1.VerificationErrorReason,
	"acl.AccessDeniedReason":          acl.AccessDeniedReason,
	"meta.DependencyNotReadyReason":   meta.DependencyNotReadyReason,
	"meta.FeatureGateDisabledReason":  meta.FeatureGateDisabledReason,
	"meta.ProgressingReason":          meta.ProgressingReason,
	"meta.ProgressingWithRetryReason": meta.ProgressingWithRetryReason,
	"meta.SucceededReason":            meta.SucceededReason,
}

// TestPaths_CoverEveryReason reads the code: every reason that it names, and every way
// in which it uses one, must have a row in paths, and no row may be left over.
func TestPaths_CoverEveryReason(t *testing.T) {
	g := NewWithT(t)
	code := readCode(g)
	g.Expect(code.unknown).To(BeEmpty(), "add these reasons to reasonsByName, and to paths the ways in which they are used")
	g.Expect(code.ofRegistry).To(ConsistOf(ofRegistry), "the reasons of internal/registry")
	g.Expect(code.declared).To(ConsistOf("Stalled", "Waiting", "KeepReady", "Retry", "Deferred"), "add to way, and to path.take, what makes errors")

	want := map[path]bool{{succeeds, meta.SucceededReason}: true, {announces, meta.ProgressingReason}: true, {fails, v1.FailureReason}: true}
	for p := range code.used {
		want[p] = true
	}
	have := map[path]bool{}
	for p := range paths {
		have[p] = true
	}
	g.Expect(have).To(Equal(want))

	named := map[string]bool{meta.ProgressingWithRetryReason: true} // beside the reason of whatever is retried
	for p := range paths {
		named[p.reason] = true
	}
	for name, reason := range reasonsByName {
		g.Expect(named).To(HaveKey(reason), "%s has no row in paths", name)
	}
	for _, name := range code.constants {
		g.Expect(reasonsByName).To(HaveKey(name), "a reason of the API that nothing tests")
	}
}

// code is what the code says of reasons.
type code struct {
	used       map[path]bool
	ofRegistry []string // reasons that internal/registry and its credentials name
	unknown    []string
	declared   []string // functions of this package that make errors
	constants  []string // reasons that the API declares
}

func readCode(g *WithT) *code {
	c := &code{used: map[path]bool{}}
	for _, root := range []string{"..", "../../api/v1"} {
		g.Expect(filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err == nil {
				ast.Inspect(parsed, func(node ast.Node) bool { c.note(parsed.Name.Name, node); return true })
			}
			return err
		})).To(Succeed())
	}
	return c
}

func (c *code) note(pkg string, node ast.Node) {
	switch node := node.(type) {
	case *ast.SelectorExpr:
		c.noteName(pkg, dotted(node))
	case *ast.CallExpr:
		if name, ok := strings.CutPrefix(dotted(node.Fun), "outcome."); ok && len(node.Args) > 1 {
			c.noteUse(way(name), dotted(node.Args[0]))
		}
	default:
		c.noteDeclaration(pkg, node)
	}
}

func (c *code) noteDeclaration(pkg string, node ast.Node) {
	switch node := node.(type) {
	case *ast.FuncDecl:
		if pkg == "outcome" && node.Recv == nil && node.Type.Results != nil && dotted(node.Type.Results.List[0].Type) == "error" {
			c.declared = append(c.declared, node.Name.Name)
		}
	case *ast.ValueSpec:
		if pkg == "v1" && strings.HasSuffix(node.Names[0].Name, "Reason") {
			c.constants = append(c.constants, "v1."+node.Names[0].Name)
		}
	}
}

func (c *code) noteName(pkg, name string) {
	source, _, _ := strings.Cut(name, ".")
	if !strings.HasSuffix(name, "Reason") || source != "v1" && source != "meta" && source != "acl" {
		return
	}
	reason, known := reasonsByName[name]
	if !known {
		c.unknown = append(c.unknown, name)
	}
	if (pkg == "registry" || pkg == "credentials") && !slices.Contains(c.ofRegistry, reason) {
		c.ofRegistry = append(c.ofRegistry, reason)
	}
}

// noteUse notes a call that makes an error. One that names no reason passes that of an
// error of internal/registry on.
func (c *code) noteUse(w way, argument string) {
	switch w {
	case stalls, waits, keeps, retries:
	case defers:
		c.used[path{defers, ""}] = true
		return
	default:
		return
	}
	if reason, named := reasonsByName[argument]; named {
		c.used[path{w, reason}] = true
		return
	}
	for _, reason := range ofRegistry {
		c.used[path{w, reason}] = true
	}
}

// dotted returns a name, or one of a package, and nothing for other expressions.
func dotted(node ast.Expr) string {
	switch node := node.(type) {
	case *ast.Ident:
		return node.Name
	case *ast.SelectorExpr:
		if source := dotted(node.X); source != "" {
			return source + "." + node.Sel.Name
		}
	}
	return ""
}
