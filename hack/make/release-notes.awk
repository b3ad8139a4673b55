# Prints the section of a version in a changelog. Relative links are replaced by links to the files at that version.

function plain(name) { gsub(/[][]/, "", name); sub(/^v/, "", name); return name }

function absolute_links(line,    done, revision) {
	revision = version == "Unreleased" ? "main" : version
	while (match(line, /\]\([^)#:]+(#[^)]*)?\)/)) {
		done = done substr(line, 1, RSTART + 1) files revision "/" substr(line, RSTART + 2, RLENGTH - 2)
		line = substr(line, RSTART + RLENGTH)
	}
	return done line
}

function fail(problem) { print FILENAME ": " problem | "cat >&2"; exit 1 }

/^## / {
	name = $2
	gsub(/[][]/, "", name)
	known = known (known ? ", " : "") name
	current = plain(name) == plain(version)
	found = found || current
	next
}

current && (text || $0 != "") { text = text absolute_links($0) "\n" }

END {
	if (version == "") fail("name the version, such as VERSION=v1.0.0, or VERSION=Unreleased for the next one")
	if (!found) fail("there is no section \"## " version "\", only " known ": name one of these, or rename Unreleased to the released version")
	sub(/\n+$/, "", text)
	if (text == "") fail("the section of " version " is empty: write its changes for users")
	print text
}
