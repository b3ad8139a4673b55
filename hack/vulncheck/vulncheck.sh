#!/usr/bin/env bash
# Asks the Go vulnerability database about the code that is called: vulncheck.sh GOVULNCHECK [PACKAGES].
# Exits with 0 where nothing is known, with 3 where something is, with 77 where the database can't be reached, so that
# nothing was checked, and otherwise with 1. GOVULNDB names another database, such as a copy: file:///path.
# SKIPPED is a file that says why nothing was checked, for CI.
set -uo pipefail

tool=$1
shift
problems=$(mktemp)
trap 'rm -f "$problems"' EXIT
"$tool" "${@:-./...}" 2>"$problems"
code=$?
cat "$problems" >&2
if [[ $code == 1 ]] && grep -q 'fetching vulnerabilities: .*\(dial \|lookup \|timeout\|deadline exceeded\|connection re\|proxyconnect\|unreachable\|tls: \|x509: \|unexpected status code\)' "$problems"; then
	echo "vulncheck: NOTHING WAS CHECKED, the vulnerability database can't be reached: run this where ${GOVULNDB:-https://vuln.go.dev} can, or set GOVULNDB to a copy of it" >&2
	[[ -z ${SKIPPED:-} ]] || echo "no network" >"$SKIPPED"
	exit 77
fi
exit $code
