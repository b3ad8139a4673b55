// SPDX-License-Identifier: Apache-2.0

package mirrors

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// settings are the keys of tables, their types in TOML, and what to write.
var settings = map[string]struct {
	types []string
	write string
}{
	"server":        {[]string{"String"}, `an address in quotes, such as "https://registry-1.docker.io"`},
	"host":          {[]string{"Hash"}, `a table, such as ["docker.io".host."https://mirror.example.com"]`},
	"capabilities":  {[]string{"Array"}, `a list: ["pull"]`},
	"ca":            {[]string{"String", "Array"}, `the path of a file in quotes, or a list of paths`},
	"override_path": {[]string{"Bool"}, "true or false, without quotes"},
}

// unsupported are the keys of hosts.toml that are refused, and what to do instead.
var unsupported = map[string]string{
	"skip_verify":  `certificates are always verified, name the file of the authority with "ca"`,
	"client":       "mirrors get no client certificates, remove it",
	"header":       "mirrors get no extra headers, remove it",
	"dial_timeout": "each host gets a share of spec.timeout, remove it",
	"proxy":        "set HTTPS_PROXY and NO_PROXY in the environment of the controller, and remove it",
}

// tablesHint describes how the file differs from a hosts.toml.
const tablesHint = `put the content of a hosts.toml into the table of its registry, ` +
	`such as ["docker.io"] and ["docker.io".host."https://mirror.example.com"]`

// checkKey checks a key and its type in TOML. Keys are compared exactly, with their case.
func checkKey(key toml.Key, kind string) error {
	switch inHost := len(key) > 2 && key[1] == "host"; {
	case key[0] == "host" || key[0] == "hosts":
		return fmt.Errorf("[%s] has no registry: %s", key[0], tablesHint)
	case len(key) == 1 && kind != "Hash":
		return fmt.Errorf("%s is not a table: %s", tableName(key), tablesHint)
	case len(key) == 3 && inHost && kind != "Hash":
		return fmt.Errorf("%s is not a table: write %s", tableName(key), settings["host"].write)
	case len(key) == 1, len(key) == 3 && inHost:
		return nil
	case inHost:
		return checkSetting(key, 3, kind)
	}
	return checkSetting(key, 1, kind)
}

// checkSetting checks a key whose part i is a setting.
func checkSetting(key toml.Key, i int, kind string) error {
	setting, known := settings[key[i]]
	if !known || i > 1 && (key[i] == "server" || key[i] == "host") {
		return unknownKey(key, i, kind)
	}
	if len(key) > i+1 || !slices.Contains(setting.types, kind) {
		return fmt.Errorf("%s has the wrong type of value in %q: write %s", tableName(key[:i]), key[i], setting.write)
	}
	return nil
}

// unknownKey returns the error about part i of a key.
func unknownKey(key toml.Key, i int, kind string) error {
	table, name := tableName(key[:i]), key[i]
	if reason := unsupported[name]; reason != "" {
		return fmt.Errorf("%s has the key %q, which is not supported: %s", table, name, reason)
	}
	if name == "hosts" {
		return fmt.Errorf(`%s has the key "hosts": write "host"`, table)
	}
	if i == 1 && !strings.Contains(key[0], ".") && (len(key) > 2 || kind == "Hash") {
		return unquoted(key)
	}
	return fmt.Errorf("%s has the key %q, which is not known: remove it, or correct it to one of server, host, "+
		"capabilities, ca and override_path, in lower case", table, redacted(name))
}

// unquoted returns the error about a key that begins with a registry whose dots divide it.
func unquoted(key toml.Key) error {
	end := slices.IndexFunc(key, func(part string) bool { return settings[part].types != nil })
	if end < 0 {
		end = len(key)
	}
	registry := redacted(strings.Join(key[:end], "."))
	return fmt.Errorf("%s has a registry without quotes: quote the registry: [%q.host.\"https://mirror.example.com\"]",
		tableName(key), registry)
}

// tableName returns a table in the words of messages.
func tableName(key toml.Key) string {
	if len(key) == 0 {
		return "the file"
	}
	words := make(toml.Key, len(key))
	for i, part := range key {
		words[i] = redacted(part)
	}
	return "[" + words.String() + "]"
}

// redacted returns an address without a user and a password.
func redacted(address string) string {
	at := max(strings.LastIndexByte(address, '@'), strings.LastIndex(address, "%40"))
	if at < 0 {
		return address
	}
	for _, scheme := range []string{"https://", "http://"} {
		if strings.HasPrefix(address, scheme) {
			return scheme + "…" + address[at:]
		}
	}
	return "…" + address[at:]
}

// maxDepth bounds the parts of keys and the depth of nesting: the decoder needs memory for
// the square of both.
const maxDepth = 16

// stringsAndComments are those of a line of TOML.
var stringsAndComments = regexp.MustCompile(`"(\\.|[^"\\])*"|'[^']*'|#.*`)

// checkSize bounds the file, the parts of its keys and the depth of its lists and tables,
// before it is parsed.
func checkSize(content string) error {
	if len(content) > maxBytes {
		return fmt.Errorf("the file has %d bytes: at most %d are read, remove comments and tables that are not necessary", len(content), maxBytes)
	}
	depth, number := 0, 0
	for line := range strings.Lines(content) {
		number++
		line = stringsAndComments.ReplaceAllStringFunc(line, func(text string) string { return text[:1] })
		if strings.Contains(line, `""`) || strings.Contains(line, "''") {
			return fmt.Errorf("line %d has a string of several lines: write it in one", number)
		}
		var deepest int
		if depth, deepest = depthOf(line, depth); deepest > maxDepth {
			return fmt.Errorf("line %d nests tables, lists or the parts of a key more than %d deep: write one table for each host", number, maxDepth)
		}
	}
	return nil
}

// depthOf returns the depth at the end of a line without strings, and at its deepest part.
func depthOf(line string, depth int) (int, int) {
	parts, deepest := 0, 0
	for _, c := range line {
		switch c {
		case '[', '{':
			depth, parts = depth+1, 0
		case ']', '}':
			depth, parts = max(0, depth-1), 0
		case '=', ',':
			parts = 0
		case '.':
			parts++
		}
		deepest = max(deepest, depth, parts)
	}
	return depth, deepest
}
