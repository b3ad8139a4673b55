// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/format"
	"path"
	"strings"
)

// violation is a file that breaks a rule, or, without a linter, one that must
// not be said to break any.
type violation struct {
	reason string
	file   string
	// imports are the packages that the file imports, separated by blanks,
	// and statements what it does with them.
	imports    string
	statements string
	// linter and text say who must find it, and in which words.
	linter, text string
}

var violations = []violation{
	{reason: "a pure package takes the time as a value", file: "internal/scan/now.go",
		imports: "time", statements: "_ = time.Now()", linter: "forbidigo", text: "pure:"},
	{reason: "a pure package takes the time as a value", file: "internal/selection/since.go",
		imports: "time", statements: "_ = time.Since(time.Time{})", linter: "forbidigo", text: "pure:"},
	{reason: "a pure package knows no network", file: "internal/selection/http.go",
		imports: "net/http", statements: "_ = http.MethodGet", linter: "depguard", text: "net/http"},
	{reason: "a pure package runs nothing", file: "internal/outcome/exec.go",
		imports: "os/exec", statements: "_ = exec.ErrNotFound", linter: "depguard", text: "os/exec"},
	{reason: "a pure package takes randomness as a value", file: "internal/scan/rand.go",
		imports: "math/rand/v2", statements: "_ = rand.Int()", linter: "depguard", text: "math/rand/v2"},
	{reason: "a pure package knows no client", file: "internal/selection/client.go",
		imports: "sigs.k8s.io/controller-runtime/pkg/client", statements: "var _ client.Client", linter: "depguard", text: "controller-runtime"},
	{reason: "a pure package knows no registry", file: "internal/selection/name.go",
		imports: "github.com/google/go-containerregistry/pkg/name", statements: "_ = name.WeakValidation",
		linter: "depguard", text: "go-containerregistry"},
	{reason: "a pure package may use the standard library", file: "internal/selection/fine.go",
		imports: "math slices time", statements: "_, _ = math.Abs(1), slices.Max([]int{1})\n_ = time.Second"},
	{reason: "tests of a pure package may do I/O", file: "internal/selection/fine_test.go",
		imports: "context os time", statements: "_, _, _ = context.Background(), os.Args, time.Now()\ntime.Sleep(time.Second)"},
	{reason: "internal/image knows names only", file: "internal/image/manifest.go",
		imports: "github.com/google/go-containerregistry/pkg/v1/types", statements: "_ = types.OCIManifestSchema1",
		linter: "depguard", text: "v1/types"},
	{reason: "internal/image knows names", file: "internal/image/fine.go",
		imports: "github.com/google/go-containerregistry/pkg/name", statements: "_ = name.WeakValidation"},
	{reason: "only internal/registry talks to registries", file: "internal/controller/remote.go",
		imports: "github.com/google/go-containerregistry/pkg/v1/remote", statements: "_ = remote.List", linter: "depguard", text: "v1/remote"},
	{reason: "a part of the registry client does not call back up", file: "internal/registry/auth/up.go",
		imports: "github.com/fluxcd/image-reflector-controller/internal/registry", statements: "registry.Fine()",
		linter: "depguard", text: "not the other way round"},
	{reason: "limits know no authentication", file: "internal/registry/ratelimit/up.go",
		imports: "github.com/fluxcd/image-reflector-controller/internal/registry/auth", statements: "auth.Up()",
		linter: "depguard", text: "knows no authentication"},
	{reason: "internal/registry talks to registries", file: "internal/registry/fine.go",
		imports: "github.com/google/go-containerregistry/pkg/v1/remote", statements: "_ = remote.List"},
	{reason: "only internal/signature verifies signatures", file: "internal/controller/verify.go",
		imports: "github.com/sigstore/sigstore-go/pkg/verify", statements: "_ = verify.NewVerifier",
		linter: "depguard", text: "github.com/sigstore"},
	{reason: "internal/signature verifies signatures", file: "internal/signature/fine.go",
		imports: "github.com/sigstore/sigstore-go/pkg/verify", statements: "_ = verify.NewVerifier"},
	{reason: "the store knows no cluster", file: "internal/store/client.go",
		imports: "sigs.k8s.io/controller-runtime/pkg/client", statements: "var _ client.Client", linter: "depguard", text: "controller-runtime"},
	{reason: "what the controller decides by is pure", file: "internal/repository/now.go",
		imports: "time", statements: "_ = time.Now()", linter: "forbidigo", text: "pure:"},
	{reason: "an explanation takes the time as a value", file: "internal/explain/now.go",
		imports: "time", statements: "_ = time.Now()", linter: "forbidigo", text: "pure:"},
	{reason: "an explanation knows no files", file: "internal/explain/files.go",
		imports: "os", statements: "_ = os.Args", linter: "depguard", text: "os"},
	{reason: "explain has no store", file: "internal/explain/source/store.go",
		imports: "github.com/fluxcd/image-reflector-controller/internal/store", statements: "store.Client()",
		linter: "depguard", text: "internal/store"},
	{reason: "no part of the controller explains", file: "internal/controller/explain.go",
		imports: "github.com/fluxcd/image-reflector-controller/internal/explain", statements: "explain.Now()",
		linter: "depguard", text: "explain"},
	{reason: "explain looks at the clock and at files", file: "internal/explain/cli/fine.go",
		imports: "os time", statements: "_, _ = time.Now(), os.Args"},
	{reason: "only internal/outcome writes conditions", file: "internal/controller/conditions.go",
		imports: "k8s.io/apimachinery/pkg/api/meta", statements: "_ = meta.SetStatusCondition", linter: "forbidigo", text: "conditions:"},
	{reason: "only internal/outcome writes conditions", file: "internal/lifecycle/mark.go",
		imports: "github.com/fluxcd/pkg/runtime/conditions", statements: "_ = conditions.MarkTrue", linter: "forbidigo", text: "conditions:"},
	{reason: "only internal/outcome writes conditions", file: "internal/lifecycle/set.go",
		imports: "github.com/fluxcd/pkg/runtime/conditions", statements: "var s conditions.Setter\ns.SetConditions(nil)",
		linter: "forbidigo", text: "conditions:"},
	{reason: "internal/outcome writes conditions", file: "internal/outcome/fine.go",
		imports: "k8s.io/apimachinery/pkg/api/meta", statements: "_ = meta.SetStatusCondition"},
	{reason: "a worker never sleeps", file: "internal/controller/sleep.go",
		imports: "time", statements: "time.Sleep(time.Second)", linter: "forbidigo", text: "sleep:"},
	{reason: "a name that ends in test is no exemption", file: "internal/registry/latest/sleep.go",
		imports: "time", statements: "time.Sleep(time.Second)", linter: "forbidigo", text: "sleep:"},
	{reason: "packages made for tests may wait", file: "internal/registry/registrytest/fine.go",
		imports: "time", statements: "time.Sleep(time.Second)"},
	{reason: "a context is the caller's", file: "internal/controller/context.go",
		imports: "context", statements: "_ = context.Background()", linter: "forbidigo", text: "context:"},
	{reason: "a controller logs", file: "internal/controller/print.go",
		imports: "fmt", statements: `fmt.Println("here")`, linter: "forbidigo", text: "print:"},
	{reason: "a controller looks at the clock", file: "internal/controller/fine.go",
		imports: "time", statements: "_ = time.Now()"},
	{reason: "functions are short", file: "internal/controller/long.go",
		statements: strings.Repeat("_ = 0\n", 61), linter: "funlen", text: "too long"},
	{reason: "functions are simple", file: "internal/controller/complex.go",
		imports: "os", statements: strings.Repeat("if len(os.Args) > 1 {\nos.Exit(1)\n}\n", 12), linter: "gocyclo", text: "cyclomatic"},
	{reason: "exemptions are explained", file: "internal/controller/exempt.go",
		imports: "time", statements: "time.Sleep(time.Second) //nolint:forbidigo", linter: "nolintlint", text: "explanation"},
	{reason: "lines fit on a screen", file: "internal/controller/wide.go",
		statements: "_ = \"" + strings.Repeat("x", 140) + "\"", linter: "lll", text: "140"},
}

// source returns a file that compiles, and is formatted.
func (v violation) source() ([]byte, error) {
	var b strings.Builder
	dir, file := path.Split(v.file)
	fmt.Fprintf(&b, "// Package %s is planted.\npackage %[1]s\n\nimport (\n", path.Base(dir))
	for _, each := range strings.Fields(v.imports) {
		fmt.Fprintf(&b, "%q\n", each)
	}
	name := strings.ReplaceAll(strings.TrimSuffix(file, ".go"), "_", "")
	name = strings.ToUpper(name[:1]) + name[1:]
	fmt.Fprintf(&b, ")\n\n// %s is planted.\nfunc %[1]s() {\n%s\n}\n", name, v.statements)
	return format.Source([]byte(b.String()))
}
