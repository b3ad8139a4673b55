// SPDX-License-Identifier: Apache-2.0

// Command releasenotes prints what the changelog says of one version, as the
// text of its release:
//
//	make release-notes VERSION=v1.0.0
//
// Links to files of the repository become links to them at that version.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// files is where the files of the repository are, of each version.
const files = "https://github.com/fluxcd/image-reflector-controller/blob/"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "releasenotes:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("releasenotes", flag.ContinueOnError)
	file := flags.String("changelog", "CHANGELOG.md", "the changelog")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || flags.Arg(0) == "" {
		return errors.New("name the version, such as VERSION=v1.0.0, or VERSION=Unreleased for what comes next")
	}
	content, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	text, err := notes(string(content), flags.Arg(0))
	if err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	fmt.Fprintln(out, text)
	return nil
}

// heading is that of a version: "## v1.0.0 - 2026-12-01", "## [1.0.0]", "## Unreleased".
var heading = regexp.MustCompile(`(?m)^## \[?([^\]\s]+)\]?.*\n?`)

// link is one to a file of the repository.
var link = regexp.MustCompile(`\]\(([^)#:]+(?:#[^)]*)?)\)`)

// notes returns what a changelog says of a version.
func notes(changelog, version string) (string, error) {
	var known []string
	found := heading.FindAllStringSubmatchIndex(changelog, -1)
	for i, at := range found {
		name := changelog[at[2]:at[3]]
		known = append(known, name)
		if strings.TrimPrefix(name, "v") != strings.TrimPrefix(version, "v") {
			continue
		}
		end := len(changelog)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		text := strings.TrimSpace(changelog[at[1]:end])
		if text == "" {
			return "", fmt.Errorf("nothing is said of %s: write what users notice of it", version)
		}
		if name == "Unreleased" {
			version = "main"
		}
		return link.ReplaceAllString(text, "]("+files+version+"/$1)"), nil
	}
	return "", fmt.Errorf("there is no section %q, only %s: name one of these, or rename Unreleased to the version that is released",
		"## "+version, strings.Join(known, ", "))
}
