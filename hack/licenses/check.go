// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that modules may have, and why.
var allowed = map[string]string{
	"Apache-2.0":   "this project's own; its notices go with the program",
	"MIT":          "asks for its text to go with the program",
	"BSD-2-Clause": "asks for its text to go with the program",
	"BSD-3-Clause": "asks for its text to go with the program",
	"ISC":          "asks for its text to go with the program",
	"MPL-2.0":      "asks for changed files to be shared, of which there are none, and for a notice where the source is",
}

// exceptions are licences that single modules may have beside those, and why.
var exceptions = map[string]map[string]string{
	"github.com/opencontainers/go-digest": {"CC-BY-SA-4.0": "of its documentation, which is not linked"},
}

// enough is how much of a file has to be the text of licences that are known, in
// percent: names, years and headlines are not.
const enough = 70

// unknown stands for text that is no licence that is known.
const unknown = "unknown"

// licenses returns the licences whose text makes up the files of a module, each of them once.
func (m module) licenses() []string {
	var ids []string
	for _, f := range m.files {
		if noticeFile.MatchString(f.name) {
			continue
		}
		coverage := licensecheck.Scan(f.text)
		matches := slices.DeleteFunc(coverage.Match, func(match licensecheck.Match) bool { return match.IsURL })
		if coverage.Percent < enough || len(matches) == 0 {
			ids = append(ids, unknown)
		}
		for _, match := range matches {
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 {
		return []string{unknown}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// check fails where a module has a licence that is not allowed.
func (m module) check() error {
	for _, id := range m.licenses() {
		if allowed[id] == "" && exceptions[m.Path][id] == "" {
			return fmt.Errorf("%s %s has the licence %s, which is not allowed: do without the module, or allow the licence "+
				"in hack/licenses/check.go, with the reason (%s)", m.Path, m.Version, id, m.Dir)
		}
	}
	return nil
}

// writeNotice writes the licences and notices of all modules into a file.
func writeNotice(path string, modules []module) error {
	var b strings.Builder
	b.WriteString("The image-reflector-controller contains software of others, under the licences below.\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "\n%s\n%s %s: %s\n", strings.Repeat("=", 80), m.Path, m.Version, strings.Join(m.licenses(), ", "))
		if slices.Contains(m.licenses(), "MPL-2.0") {
			fmt.Fprintf(&b, "Its source is at https://proxy.golang.org/%s/@v/%s.zip\n", m.Path, m.Version)
		}
		for _, f := range m.files {
			fmt.Fprintf(&b, "\n--- %s\n\n%s\n", f.name, strings.TrimRight(string(f.text), "\n"))
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
