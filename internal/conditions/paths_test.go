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

// reasonsByName maps the constants that the code uses to their reasons. TestPaths_CoverEveryReason
// fails if one is missing.
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

// TestPaths_CoverEveryReason parses the code: paths must have an entry for every reason and every
// kind of result that it is used with, and no other entries.
func TestPaths_CoverEveryReason(t *testing.T) {
	g := NewWithT(t)
	code := readCode(g)
	g.Expect(code.unknown).To(BeEmpty(), "add these reasons to reasonsByName, and their uses to paths")
	g.Expect(code.registryReasons).To(ConsistOf(registryReasons), "the reasons of internal/registry")
	g.Expect(code.declared).To(ConsistOf("Stalled", "Waiting", "KeepReady", "Retry", "Deferred"), "add functions that make errors to resultKind and to path.apply")

	wanted := map[outcomePath]bool{{succeeds, meta.SucceededReason}: true, {announces, meta.ProgressingReason}: true, {fails, v1.FailureReason}: true}
	for p := range code.used {
		wanted[p] = true
	}
	listed := map[outcomePath]bool{}
	for p := range outcomePaths {
		listed[p] = true
	}
	g.Expect(listed).To(Equal(wanted))

	named := map[string]bool{meta.ProgressingWithRetryReason: true} // the reason of Reconciling while an error is retried
	for p := range outcomePaths {
		named[p.reason] = true
	}
	for name, reason := range reasonsByName {
		g.Expect(named).To(HaveKey(reason), "%s has no entry in paths", name)
	}
	for _, name := range code.constants {
		g.Expect(reasonsByName).To(HaveKey(name), "a reason of the API that is not tested")
	}
}

// code lists the reasons that the code declares and uses.
type code struct {
	used            map[outcomePath]bool
	registryReasons []string // used by internal/registry and its package credentials
	unknown         []string
	declared        []string // functions of this package that make errors
	constants       []string // reasons declared by the API
}

func readCode(g *WithT) *code {
	c := &code{used: map[outcomePath]bool{}}
	for _, root := range []string{"..", "../../api/v1"} {
		g.Expect(filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err == nil {
				ast.Inspect(parsed, func(node ast.Node) bool { c.record(parsed.Name.Name, node); return true })
			}
			return err
		})).To(Succeed())
	}
	return c
}

func (c *code) record(pkg string, node ast.Node) {
	switch node := node.(type) {
	case *ast.SelectorExpr:
		c.recordName(pkg, qualifiedName(node))
	case *ast.CallExpr:
		if name, ok := strings.CutPrefix(qualifiedName(node.Fun), "conditions."); ok && len(node.Args) > 1 {
			c.recordUse(resultKind(name), qualifiedName(node.Args[0]))
		}
	default:
		c.recordDeclaration(pkg, node)
	}
}

func (c *code) recordDeclaration(pkg string, node ast.Node) {
	switch node := node.(type) {
	case *ast.FuncDecl:
		if pkg == "conditions" && node.Recv == nil && node.Type.Results != nil && qualifiedName(node.Type.Results.List[0].Type) == "error" {
			c.declared = append(c.declared, node.Name.Name)
		}
	case *ast.ValueSpec:
		if pkg == "v1" && strings.HasSuffix(node.Names[0].Name, "Reason") {
			c.constants = append(c.constants, "v1."+node.Names[0].Name)
		}
	}
}

func (c *code) recordName(pkg, name string) {
	source, _, _ := strings.Cut(name, ".")
	if !strings.HasSuffix(name, "Reason") || source != "v1" && source != "meta" && source != "acl" {
		return
	}
	reason, known := reasonsByName[name]
	if !known {
		c.unknown = append(c.unknown, name)
	}
	if (pkg == "registry" || pkg == "credentials") && !slices.Contains(c.registryReasons, reason) {
		c.registryReasons = append(c.registryReasons, reason)
	}
}

// recordUse records a call that makes an error. If its reason is not a constant, it is the reason
// of an error of internal/registry.
func (c *code) recordUse(kind resultKind, argument string) {
	switch kind {
	case stalls, waits, keeps, retries:
	case defers:
		c.used[outcomePath{defers, ""}] = true
		return
	default:
		return
	}
	if reason, named := reasonsByName[argument]; named {
		c.used[outcomePath{kind, reason}] = true
		return
	}
	for _, reason := range registryReasons {
		c.used[outcomePath{kind, reason}] = true
	}
}

// qualifiedName returns an identifier, with its package if it has one, and "" for other
// expressions.
func qualifiedName(node ast.Expr) string {
	switch node := node.(type) {
	case *ast.Ident:
		return node.Name
	case *ast.SelectorExpr:
		if source := qualifiedName(node.X); source != "" {
			return source + "." + node.Sel.Name
		}
	}
	return ""
}
