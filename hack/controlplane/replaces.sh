#!/usr/bin/env bash
# Aligns the modules of the control plane with the operator: replaces.sh edits and tidies the go.mod of apiserver, kubectl and
# etcd, and of the tools that make run builds. replaces.sh -check changes nothing, and fails if a go.mod is out of date. MODULES is
# the folder of these modules, by default the folder of this script, and ROOT that of the operator.
#
# Packages are compiled once if all programs have their modules in the same versions, because Go's build cache identifies a
# package by its version and those of its dependencies. So each module gets the versions that the operator requires. Kubernetes is
# pinned to the version of its libraries in the operator: k8s.io/client-go v0.36.2 is v1.36.2.
#
# Kubernetes requires its own libraries (k8s.io/api and so on) at v0.0.0 and replaces them by folders of its repository. Replaces
# apply only in the main module, so a module that builds a command of kubernetes needs the same list with the published versions.
# The requirement has the same version, because the build cache uses that instead of the replacement.
set -euo pipefail

export CGO_ENABLED=0 GOWORK=off GOOS= GOARCH=
kubernetes=k8s.io/kubernetes
cd "${MODULES:-$(dirname "$0")}"
root=${ROOT:-../..}

fail() { echo "replaces.sh: $*" >&2; exit 1; }

# print_mod prints a go.mod with one directive per line, without blocks.
print_mod() {
	go mod edit -print "$1" | awk '$2 == "(" {block = $1; next} $1 == ")" {block = ""; next} {print block ? block " " $0 : $0}'
}

required() { print_mod "$1" | awk '$1 == "require" {print $2, $3}'; }

library=$(required "$root/go.mod" | awk '$1 == "k8s.io/client-go" {print $2}')
[[ $library == v0.* ]] || fail "k8s.io/client-go $library: only v0.x.y is the library of a Kubernetes v1.x.y"
version=v1.${library#v0.}

# Downloads only the go.mod of kubernetes, in an empty folder: in the module itself, the go command fails if the list is out of
# date.
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
upstream=$(cd "$empty" && go list -m -f '{{.GoMod}}' "$kubernetes@$version")
libraries=$(print_mod "$upstream" | awk '$1 == "replace" && $3 == "=>" && $4 ~ /^\.\/staging\// {print $2}' | sort)
[[ $libraries ]] || fail "$kubernetes $version replaces nothing by its staging folder"

# pins sets edit to the flags that pin kubernetes and replace its libraries in a go.mod.
pins() {
	edit=("-require=$kubernetes@$version")
	# Replaces of a Kubernetes library by itself that are not in the list are dropped. Others, such as forks, are kept.
	for old in $(print_mod "$1" | awk '$1 == "replace" && $2 ~ /^k8s\.io\// && $3 == "=>" && $4 == $2 {print $2}'); do
		grep -qxF "$old" <<<"$libraries" || edit+=("-dropreplace=$old")
	done
	for name in $libraries; do
		edit+=("-replace=$name=$name@$library")
	done
	for name in $(required "$1" | awk '{print $1}' | grep -xF "$libraries" || true); do
		edit+=("-require=$name@$library")
	done
}

# align adds to edit the versions of the operator or, for modules that it does not require, of apiserver. A newer one stays.
align() {
	while read -r name have want; do
		# A pre-release is older than its release: sort orders ~ before the end of a line, and - after it.
		[[ $(printf '%s\n' "$have" "$want" | tr - '~' | sort -V | tail -n 1 | tr '~' -) == "$have" ]] || edit+=("-require=$name@$want")
	done < <(join <(required "$1" | grep -vE "^(${libraries//$'\n'/|}) " | sort) \
		<({ required "$root/go.mod"; required apiserver/go.mod; } | awk '!seen[$1]++' | sort) | awk '$2 != $3')
}

failed=
for folder in apiserver kubectl etcd ../tools/registry ../tools/setup-envtest; do
	[[ -e $folder/go.mod ]] || continue
	edit=()
	if [[ $folder == apiserver || $folder == kubectl ]]; then pins $folder/go.mod; fi
	align $folder/go.mod
	[[ ${#edit[@]} -gt 0 ]] || continue
	if [[ ${1-} != -check ]]; then
		(cd $folder && go mod edit "${edit[@]}" && go mod tidy)
	elif ! diff <(go mod edit -print $folder/go.mod) <(go mod edit "${edit[@]}" -print $folder/go.mod) >&2; then
		echo "$folder/go.mod is out of date (< is, > should be), run \`make controlplane-replaces\`" >&2
		failed=1
	fi
done
[[ -z $failed ]]
