#!/usr/bin/env bash
# Proves that the rules of .golangci.yml can fail: rules.sh GOLANGCI-LINT, run in the root of the repository, plants files in an
# otherwise empty copy of this module. Each file must violate its rule, or none.
set -euo pipefail
linter=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/api"
cp .golangci.yml go.mod go.sum "$copy"
cp api/go.mod api/go.sum "$copy/api"

# file | linter and a part of its message, or nothing | imports | statement, after its number of repetitions if not 1
cat >"$copy/rows" <<'ROWS'
internal/scan/now.go|forbidigo pure:|time|_ = time.Now()
internal/selection/since.go|forbidigo pure:|time|_ = time.Since(time.Time{})
internal/repository/now.go|forbidigo pure:|time|_ = time.Now()
internal/admission/now.go|forbidigo pure:|time|_ = time.Now()
internal/admission/images/fine.go||time|_ = time.Now()
internal/explain/now.go|forbidigo pure:|time|_ = time.Now()
internal/selection/http.go|depguard net/http|net/http|_ = http.MethodGet
internal/conditions/exec.go|depguard os/exec|os/exec|_ = exec.ErrNotFound
internal/scan/rand.go|depguard math/rand/v2|math/rand/v2|_ = rand.Int()
internal/explain/files.go|depguard os|os|_ = os.Args
internal/selection/client.go|depguard controller-runtime|sigs.k8s.io/controller-runtime/pkg/client|var _ client.Client
internal/selection/name.go|depguard go-containerregistry|github.com/google/go-containerregistry/pkg/name|_ = name.WeakValidation
internal/selection/fine.go||math slices time|_, _, _ = math.Abs(1), slices.Max([]int{1}), time.Second
internal/selection/fine_test.go||context os time|_, _, _ = context.Background(), os.Args, time.Now()
internal/image/manifest.go|depguard v1/types|github.com/google/go-containerregistry/pkg/v1/types|_ = types.OCIManifestSchema1
internal/image/fine.go||github.com/google/go-containerregistry/pkg/name|_ = name.WeakValidation
internal/controller/remote.go|depguard v1/remote|github.com/google/go-containerregistry/pkg/v1/remote|_ = remote.List
internal/registry/fine.go||github.com/google/go-containerregistry/pkg/v1/remote|_ = remote.List
internal/registry/auth/up.go|depguard not the reverse|github.com/fluxcd/image-reflector-controller/internal/registry|registry.Fine()
internal/registry/ratelimit/up.go|depguard does not depend on authentication|github.com/fluxcd/image-reflector-controller/internal/registry/auth|auth.Up()
internal/controller/verify.go|depguard github.com/sigstore|github.com/sigstore/sigstore-go/pkg/verify|_ = verify.NewVerifier
internal/signature/fine.go||github.com/sigstore/sigstore-go/pkg/verify|_ = verify.NewVerifier
internal/explain/source/cel.go|depguard only internal/signature evaluates|github.com/google/cel-go/cel|_ = cel.NewEnv
internal/signature/cel.go||github.com/google/cel-go/cel|_ = cel.NewEnv
internal/registry/mirrors/up.go|depguard not the reverse|github.com/fluxcd/image-reflector-controller/internal/registry|registry.Fine()
internal/admission/client.go|depguard controller-runtime|sigs.k8s.io/controller-runtime/pkg/client|var _ client.Client
internal/controller/imagepolicy/up.go|depguard only main imports|github.com/fluxcd/image-reflector-controller/internal/controller|controller.Fine()
internal/reconcile/up.go|depguard only internal/controller imports|github.com/fluxcd/image-reflector-controller/internal/controller/imagepolicy|imagepolicy.Up()
internal/store/up.go|depguard only reconcilers import|github.com/fluxcd/image-reflector-controller/internal/conditions|conditions.Fine()
internal/store/client.go|depguard controller-runtime|sigs.k8s.io/controller-runtime/pkg/client|var _ client.Client
internal/explain/source/store.go|depguard store|github.com/fluxcd/image-reflector-controller/internal/store|store.Client()
internal/controller/explain.go|depguard explain|github.com/fluxcd/image-reflector-controller/internal/explain|explain.Now()
internal/explain/cli/fine.go||os time|_, _ = time.Now(), os.Args
internal/controller/conditions.go|forbidigo conditions:|k8s.io/apimachinery/pkg/api/meta|_ = meta.SetStatusCondition
internal/reconcile/mark.go|forbidigo conditions:|github.com/fluxcd/pkg/runtime/conditions|_ = conditions.MarkTrue
internal/reconcile/set.go|forbidigo conditions:|github.com/fluxcd/pkg/runtime/conditions|var s conditions.Setter; s.SetConditions(nil)
internal/conditions/fine.go||k8s.io/apimachinery/pkg/api/meta|_ = meta.SetStatusCondition
internal/controller/sleep.go|forbidigo sleep:|time|time.Sleep(time.Second)
internal/registry/latest/sleep.go|forbidigo sleep:|time|time.Sleep(time.Second)
internal/registry/registrytest/fine.go||time|time.Sleep(time.Second)
internal/controller/context.go|forbidigo context:|context|_ = context.Background()
internal/controller/print.go|forbidigo print:|fmt|fmt.Println("here")
internal/controller/fine.go||time|_ = time.Now()
internal/controller/long.go|funlen too long||61 _ = 0
internal/controller/complex.go|gocyclo cyclomatic|os|12 for len(os.Args) > 1 { }
internal/controller/exempt.go|nolintlint explanation|time|time.Sleep(time.Second) //nolint:forbidigo
internal/controller/wide.go|lll 140||_ = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
ROWS

cut -d'|' -f1 "$copy/rows" | xargs -n 1 dirname | sort -u | (cd "$copy" && xargs mkdir -p)
awk -F'|' -v root="$copy" '{
	n = split($1, path, "/"); file = root "/" $1; name = path[n]; gsub(/_|\.go$/, "", name)
	name = toupper(substr(name, 1, 1)) substr(name, 2)
	printf "// Package %s is planted.\npackage %s\n\n", path[n-1], path[n-1] >file
	count = split($3, imports, " ")
	if (count) print "import (" >file
	for (i = 1; i <= count; i++) printf "\t\"%s\"\n", imports[i] >file
	if (count) print ")\n" >file
	times = 1; if (match($4, /^[0-9]+ /)) { times = $4 + 0; sub(/^[0-9]+ /, "", $4) }
	printf "// %s is planted.\nfunc %s() {\n", name, name >file
	while (times-- > 0) print "\t" $4 >file
	print "}" >file; close(file)
}' "$copy/rows"

# Exit code 1 means findings.
(cd "$copy" && GOLANGCI_LINT_CACHE="$copy/cache" "$linter" run --show-stats=false --output.text.path=stdout \
	--output.text.colors=false --output.text.print-issued-lines=false ./...) >"$copy/report" || [[ $? == 1 ]]
failed=0
while IFS='|' read -r file rule _; do
	found=$(grep "^$file:" "$copy/report" || true)
	if [[ -z $rule ]]; then
		[[ -z $found ]] && continue
	else
		grep -F -- "${rule#* }" <<<"$found" | grep -q "(${rule%% *})$" && continue
	fi
	printf '%s violates %s, and golangci-lint reports: %s\n' "$file" "${rule:-no rule}" "${found:-nothing}" >&2
	failed=1
done <"$copy/rows"
if [[ $failed == 0 ]]; then echo "the rules of .golangci.yml hold for $(wc -l <"$copy/rows") planted files"; fi
exit $failed
