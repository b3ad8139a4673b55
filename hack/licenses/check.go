// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that modules may have, with the reasons.
var allowed = map[string]string{
	"Apache-2.0":   "the licence of this project; notices are distributed with the program",
	"MIT":          "its text must be distributed with the program",
	"BSD-2-Clause": "its text must be distributed with the program",
	"BSD-3-Clause": "its text must be distributed with the program",
	"ISC":          "its text must be distributed with the program",
	"MPL-2.0":      "changed files must be published, of which there are none, and a notice must name the source",
}

// exceptions are additional licences of single modules, with the reasons.
var exceptions = map[string]map[string]string{
	"github.com/opencontainers/go-digest": {"CC-BY-SA-4.0": "its documentation, which is not linked"},
}

// minCoverage is the percentage of a file that must be the text of known licences. Names, years and
// headlines don't count.
const minCoverage = 70

// unknown is the ID of an unknown licence.
const unknown = "unknown"

// licenses returns the sorted IDs of the licences of a module, without duplicates.
func (m module) licenses() []string {
	var ids []string
	for _, f := range m.files {
		if noticeFile.MatchString(f.name) {
			continue
		}
		coverage := licensecheck.Scan(f.text)
		matches := slices.DeleteFunc(coverage.Match, func(match licensecheck.Match) bool { return match.IsURL })
		if coverage.Percent < minCoverage || len(matches) == 0 {
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

// check returns an error if a module has a licence that is not allowed.
func (m module) check() error {
	for _, id := range m.licenses() {
		if allowed[id] == "" && exceptions[m.Path][id] == "" {
			return fmt.Errorf("%s %s has the licence %s, which is not allowed: remove the module, or allow the licence "+
				"in hack/licenses/check.go, with the reason (%s)", m.Path, m.Version, id, m.Dir)
		}
	}
	return nil
}

// writeNotice writes the licences and notices of all modules to a file.
func writeNotice(path string, modules []module) error {
	var b strings.Builder
	b.WriteString("The image-reflector-controller contains third-party software under the licences below.\n")
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

// writeList writes the names of the licences of each module to a file, as JSON.
func writeList(path string, modules []module) error {
	type entry struct {
		Path, Version string
		Licenses      []string
	}
	var list []entry
	for _, m := range modules {
		list = append(list, entry{m.Path, m.Version, m.licenses()})
	}
	encoded, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, encoded, 0o644)
}
