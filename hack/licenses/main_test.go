// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mit = `MIT License

Copyright (c) 2026 The Authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

// forbidden is an excerpt of the text of a licence that is not allowed.
const forbidden = `GNU AFFERO GENERAL PUBLIC LICENSE
This program is free software: you can redistribute it and/or modify it under the terms of the GNU Affero General Public
License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.`

func TestCheck_AcceptsOnlyAllowedLicenses(t *testing.T) {
	for name, tc := range map[string]struct {
		files []file
		want  string // in the error
	}{
		"allowed":         {[]file{{name: "LICENSE", text: []byte(mit)}}, ""},
		"with a notice":   {[]file{{name: "LICENSE", text: []byte(mit)}, {name: "NOTICE", text: []byte("made by us")}}, ""},
		"no file":         {nil, unknown},
		"a notice alone":  {[]file{{name: "NOTICE", text: []byte(mit)}}, unknown},
		"unknown licence": {[]file{{name: "LICENSE", text: []byte("you may look at it")}}, unknown},
		"forbidden":       {[]file{{name: "COPYING", text: []byte(forbidden)}}, "AGPL"},
		"allowed and forbidden": {[]file{
			{name: "LICENSE", text: []byte(mit)}, {name: "LICENSE.agpl", text: []byte(forbidden)}}, "AGPL"},
		"additional text": {[]file{{name: "LICENSE", text: []byte(mit + strings.Repeat("except on Sundays, and not for bakers. ", 100))}}, unknown},
	} {
		err := module{Path: "example.com/x", files: tc.files}.check()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestLicenseFiles_FindsLicenseAndNoticeFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"LICENSE", "LICENCE.md", "COPYING", "license-apache.txt", "NOTICE.txt", "license.go", "README.md", "UNLICENSE"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := licenseFiles(dir)
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	if want := []string{"COPYING", "LICENCE.md", "LICENSE", "NOTICE.txt", "UNLICENSE", "license-apache.txt"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, want %q, error %v", names, want, err)
	}
}

// TestRun_WritesNoticeOfLinkedModules checks the test binary, into which one module is linked.
func TestRun_WritesNoticeOfLinkedModules(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	notice := filepath.Join(t.TempDir(), "build", "NOTICES.txt")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-notice", notice, program}, &out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(notice)
	if err != nil || !strings.Contains(string(text), "github.com/google/licensecheck v0.3.1: BSD-3-Clause") || !strings.Contains(string(text), "Go Authors") {
		t.Errorf("error %v, got %.500s", err, text)
	}
	if !strings.Contains(out.String(), "1 modules are linked") {
		t.Errorf("got %q", out.String())
	}
	if err := run(t.Context(), []string{filepath.Join(t.TempDir(), "missing")}, &out); err == nil {
		t.Error("run succeeded without a program")
	}
}
