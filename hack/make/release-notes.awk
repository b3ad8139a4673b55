# Prints what a changelog says of a version. Links to files of the repository become links to them at that version.

function plain(name) { gsub(/[][]/, "", name); sub(/^v/, "", name); return name }

function linked(line,    done, revision) {
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

current && (text || $0 != "") { text = text linked($0) "\n" }

END {
	if (version == "") fail("name the version, such as VERSION=v1.0.0, or VERSION=Unreleased for what comes next")
	if (!found) fail("there is no section \"## " version "\", only " known ": name one of these, or rename Unreleased to the version that is released")
	sub(/\n+$/, "", text)
	if (text == "") fail("nothing is said of " version ": write what users notice of it")
	print text
}
