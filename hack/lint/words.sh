#!/usr/bin/env bash
# Fails if the comments of the Go code or the prose of the Markdown files use a word of the list below, and reports each
# as file:line, the word and what to write instead. It reads the tracked files of the repository, without generated code,
# the released part of the changelog and superseded design records; in Markdown, without code and link targets. In Go,
# only the text after // counts. words.sh --self-test proves that planted words are found.
set -euo pipefail

# Regular expression of whole words, and the reason.
export WORDS='nobody|somebody|whoever|anybody = name who does it: no client, another process, users who
anew|by now|thereby = write again, already, so
habits|mend(s|ed|ing)?|ripen(s|ed|ing)?|judged = write the term: capabilities, fix, pending, evaluated
let in|comes too late|is told|held of = put the subject first: accepts, is late, receives, is cached for'

# Prints the findings in the working directory's repository, and fails if there is one.
check() {
	git ls-files '*.go' '*.md' | grep -v 'zz_generated' | while read -r file; do
		[[ ! -f $file ]] || echo "$file"
	done | LC_ALL=C xargs awk '
	BEGIN {
		groups = split(ENVIRON["WORDS"], group, "\n")
		for (i = 1; i <= groups; i++) {
			split(group[i], part, " = "); words[i] = "^(" part[1] ")$"; reason[i] = part[2]
			all = all (i > 1 ? "|" : "") part[1]
		}
		all = "[^a-z](" all ")[^a-z]"
	}

	# Text after // of a line of Go. raw: the line begins within a raw string.
	function comment(line,    first) {
		while (1) {
			if (raw) {
				if (!(first = index(line, "`"))) return ""
				raw = 0; line = substr(line, first + 1)
			}
			if (!match(line, /["\047`]|\/\//)) return ""
			line = substr(line, RSTART); first = substr(line, 1, 1)
			if (first == "/") return substr(line, 3)
			if (first == "`") { raw = 1; line = substr(line, 2); continue }
			if (!match(line, /^"([^"\\]|\\.)*"|^\047([^\047\\]|\\.)*\047/)) return ""
			line = substr(line, RLENGTH + 1)
		}
	}

	# Prose of a line of Markdown, without code and addresses.
	function prose(line) {
		if (line ~ /^ *(```|~~~)/) { fenced = !fenced; return "" }
		if (fenced) return ""
		gsub(/`[^`]*`/, "`", line); gsub(/\]\([^)]*\)/, "]", line)
		return line
	}

	# Reports the words of a text. tail: the last two words of the previous line, as a phrase may be wrapped.
	function report(text,    line, word, start, end, n, last) {
		gsub(/[a-z]+:\/\/[^ )>]*/, "", text); gsub(/[ \t]+/, " ", text); sub(/^ /, "", text)
		line = " " tolower(tail (tail ? " " : "") text) " "; start = 0
		while (match(line, all)) {
			word = substr(line, RSTART + 1, RLENGTH - 2); end = RSTART + RLENGTH - 2
			if (start + end > length(tail) + 1) {
				for (i = 1; word !~ words[i]; i++) {}
				printf "%s:%d: \"%s\": %s\n", FILENAME, FNR, word, reason[i]; found = 1
			}
			start += end; line = substr(line, end + 1)
		}
		n = split(text, last, " "); tail = n > 1 ? last[n-1] " " last[n] : last[n]
	}

	FNR == 1 { go = FILENAME ~ /\.go$/; raw = fenced = skipped = 0; tail = "" }
	FILENAME ~ /(^|\/)CHANGELOG\.md$/ && /^## / { skipped = !/Unreleased/ }
	FILENAME ~ /^docs\/design\// && /^\*\*Superseded\*\* by/ { skipped = 1 }
	skipped { next }
	go { text = comment($0); if ($0 !~ /^[ \t]*\/\//) tail = ""; report(text); next }
	{ report(prose($0)) }
	END { exit found }'
}

# Plants words in a repository of its own: those of want must be reported, and no others.
self_test() {
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	cd "$dir"
	git init -q .
	mkdir -p docs/design
	cat >code.go <<'GO'
package planted // Nobody

// Whoever reads this by
// now knows nobody's habits. It is judged, and mended anew.
const a = "nobody" // it ripens, thereby "anybody" is told
const b = `// nobody
"nobody" // nobody` // somebody
const c = '"' // let in
const d = "\"// nobody" // https://example.com/nobody ok, recommended
// What comes
// too late is held of
const e = '\''
GO
	printf '%s\n' '# By now' '`nobody` and [link](nobody.md), anybody' '```' 'nobody' '```' 'mends' >guide.md
	printf '%s\n' '## Unreleased' 'anew' '## v1.0.0' 'anew' >CHANGELOG.md
	printf '%s\n' '# 1' '**Superseded** by 2.' 'anew' >docs/design/1.md
	printf '%s\n' '# 2' '**Superseded in part** by 3.' 'anew' >docs/design/2.md
	echo '// nobody' >zz_generated.deepcopy.go
	git add .
	echo '// nobody' >untracked.go
	local want='CHANGELOG.md:2 anew
code.go:1 nobody
code.go:3 whoever
code.go:4 by now
code.go:4 nobody
code.go:4 habits
code.go:4 judged
code.go:4 mended
code.go:4 anew
code.go:5 ripens
code.go:5 thereby
code.go:5 anybody
code.go:5 is told
code.go:7 somebody
code.go:8 let in
code.go:11 comes too late
code.go:11 held of
docs/design/2.md:3 anew
guide.md:1 by now
guide.md:2 anybody
guide.md:6 mends'
	if check >findings; then echo "planted words are not found" >&2; exit 1; fi
	if ! diff <(echo "$want") <(sed -E 's/^([^:]*:[0-9]+): "([^"]*)".*/\1 \2/' findings) >&2; then
		echo "the findings (>) are not the planted words (<)" >&2
		exit 1
	fi
	echo "words.sh finds the $(grep -c . findings) planted words"
}

if [[ ${1-} == --self-test ]]; then
	self_test
elif check >&2; then
	echo "comments and prose use no word of hack/lint/words.sh"
else
	echo "write these in plain words: hack/lint/words.sh has the list" >&2
	exit 1
fi
