#!/usr/bin/env bash
# Updates the replace list that k8s.io/kubernetes needs: replaces.sh writes it into the go.mod of apiserver and kubectl, and
# tidies both modules. replaces.sh -check changes nothing, and fails if a go.mod is out of date. MODULES is the folder of both
# modules, by default the folder of this script.
#
# Kubernetes requires its own libraries (k8s.io/api and so on) at v0.0.0 and replaces them by folders of its repository. Replaces
# apply only in the main module, so a module that builds a command of kubernetes needs the same list with the published
# versions: v1.36.3 of kubernetes is v0.36.3 of each library. The version is that of apiserver/go.mod.
set -euo pipefail

export CGO_ENABLED=0 GOWORK=off GOOS= GOARCH=
kubernetes=k8s.io/kubernetes
cd "${MODULES:-$(dirname "$0")}"

fail() { echo "replaces.sh: $*" >&2; exit 1; }

# print_mod prints a go.mod with one directive per line, without blocks.
print_mod() {
	go mod edit -print "$1" | awk '$2 == "(" {block = $1; next} $1 == ")" {block = ""; next} {print block ? block " " $0 : $0}'
}

version=$(print_mod apiserver/go.mod | awk -v module=$kubernetes '$1 == "require" && $2 == module {print $3}')
[[ $version == v1.* ]] || fail "$kubernetes $version: libraries are published for v1 only"

# Downloads only the go.mod of kubernetes, in an empty folder: in the module itself, the go command fails if the list is out of
# date.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
upstream=$(cd "$empty" && go list -m -f '{{.GoMod}}' "$kubernetes@$version")
libraries=$(print_mod "$upstream" | awk '$1 == "replace" && $3 == "=>" && $4 ~ /^\.\/staging\// {print $2}' | sort)
[[ $libraries ]] || fail "$kubernetes $version replaces nothing by its staging folder"

failed=
for folder in apiserver kubectl; do
	edit=("-require=$kubernetes@$version")
	# Replaces of a Kubernetes library by itself that are not in the list are dropped. Others, such as forks, are kept.
	for old in $(print_mod "$folder/go.mod" | awk '$1 == "replace" && $2 ~ /^k8s\.io\// && $3 == "=>" && $4 == $2 {print $2}'); do
		grep -qxF "$old" <<<"$libraries" || edit+=("-dropreplace=$old")
	done
	for library in $libraries; do
		edit+=("-replace=$library=$library@v0.${version#v1.}")
	done
	if [[ ${1-} != -check ]]; then
		(cd $folder && go mod edit "${edit[@]}" && go mod tidy)
	elif ! diff -q <(go mod edit -print $folder/go.mod) <(go mod edit "${edit[@]}" -print $folder/go.mod) >/dev/null; then
		echo "$folder/go.mod is out of date, run \`make controlplane-replaces\`" >&2
		failed=1
	fi
done
[[ -z $failed ]]
