#!/usr/bin/env bash
# Checks what a release needs before anything is built: release-check.sh VERSION OUTPUT IMAGE [DRY_RUN]
set -euo pipefail
version=${1:-} output=$2 image=$3 dry_run=${4:-}

fail() {
	printf 'release: %s\n' "$1" >&2
	exit 1
}
# A dry run continues with a warning.
fail_unless_dry_run() {
	[[ -n $dry_run ]] || fail "$1, or only try it with DRY_RUN=1"
	printf 'release: warning: %s\n' "$1" >&2
}

[[ -n $version ]] || fail 'name the version: make release VERSION=v1.0.0, with DRY_RUN=1 to publish nothing'
# https://semver.org, without build metadata, which a tag of an image can't contain
number='(0|[1-9][0-9]*)'
identifier='(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
[[ $version =~ ^v$number\.$number\.$number(-$identifier(\.$identifier)*)?$ ]] ||
	fail "VERSION '$version' is not a version: write vMAJOR.MINOR.PATCH, such as v1.0.0 or v1.1.0-rc.1"
[[ -z $dry_run || $dry_run == 1 ]] || fail "DRY_RUN is '$dry_run': write DRY_RUN=1, or leave it out to publish"
[[ $image == */*:"$version" ]] || fail "IMAGE is '$image': write it with a registry and the tag $version"
[[ ! -e $output ]] || fail "$output exists: remove it, or choose another version"
changes=$(git status --porcelain --untracked-files=all)
[[ -z $changes ]] || fail_unless_dry_run 'the tree has changes that are not committed, which the files would contain: commit them'
if ! tagged=$(git rev-parse --quiet --verify "refs/tags/$version^{commit}"); then
	fail_unless_dry_run "there is no tag $version: git tag -a $version -m $version"
elif [[ $tagged != $(git rev-parse HEAD) ]]; then
	fail_unless_dry_run "the tag $version is not HEAD: git checkout $version"
fi
