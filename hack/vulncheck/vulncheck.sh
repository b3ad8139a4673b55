#!/usr/bin/env bash
# Checks called code against the Go vulnerability database: vulncheck.sh GOVULNCHECK [PACKAGES].
# Exit codes: 0 no vulnerability, 3 vulnerabilities, 77 the database is unreachable, so nothing was checked, others: errors.
# GOVULNDB is another database, such as a copy: file:///path. If nothing was checked, the reason is written to the file
# SKIPPED, for CI.
set -uo pipefail

tool=$1
shift
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
"$tool" "${@:-./...}" 2>"$errors"
code=$?
cat "$errors" >&2
if [[ $code == 1 ]] && grep -q 'fetching vulnerabilities: .*\(dial \|lookup \|timeout\|deadline exceeded\|connection re\|proxyconnect\|unreachable\|tls: \|x509: \|unexpected status code\)' "$errors"; then
	echo "vulncheck: NOTHING WAS CHECKED, the vulnerability database is unreachable: run this with access to ${GOVULNDB:-https://vuln.go.dev}, or set GOVULNDB to a copy of it" >&2
	[[ -z ${SKIPPED:-} ]] || echo "no network" >"$SKIPPED"
	exit 77
fi
exit $code
