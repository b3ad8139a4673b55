#!/usr/bin/env bash
# Fails if a line of prose in a tracked Markdown file is longer than 100 columns. Tables, code blocks, headings, generated
# pages and the targets of links are not counted, as they can't be wrapped.
set -euo pipefail
git ls-files '*.md' | grep -v '^docs/api/' | xargs awk '
	FNR == 1 { fenced = 0 }
	/^ *(```|~~~)/ { fenced = !fenced; next }
	fenced || /^ *(\||#|<|\[\^)/ { next }
	{
		line = $0
		gsub(/\]\([^)]*\)/, "]", line)
		gsub(/`[^`]*`/, "``", line)
		if (length(line) > 100) { printf "%s:%d: %d columns, wrap prose at 100\n", FILENAME, FNR, length(line); bad = 1 }
	}
	END { exit bad }' >&2
