// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// module is a Go module that is linked into a program. The standard library is one of them.
type module struct {
	path, version string
	// hash is the h1 hash of go.sum, in hex. It is empty for the standard library and for modules of
	// this repository.
	hash    string
	license string
}

// standardLibrary is its path in package URLs, in which scanners look up its vulnerabilities.
const standardLibrary = "stdlib"

// projectLicense is the licence of this repository.
const projectLicense = "Apache-2.0"

// purl returns the package URL: https://github.com/package-url/purl-spec
func (m module) purl() string {
	return "pkg:golang/" + m.path + "@" + strings.ReplaceAll(m.version, "+", "%2B")
}

// readModules returns the modules that are linked into a program, sorted by path.
func (r *release) readModules(file string) ([]module, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the modules of %s: %w", file, err)
	}
	if r.goVersion != "" && r.goVersion != info.GoVersion {
		return nil, fmt.Errorf("%s is built by %s, and another program by %s: build all programs with one version of Go",
			file, info.GoVersion, r.goVersion)
	}
	r.goVersion = info.GoVersion
	licenses, err := readLicenses(r.licenses)
	if err != nil {
		return nil, err
	}
	toolchain, _, _ := strings.Cut(info.GoVersion, " ") // experiments follow
	modules := []module{{path: standardLibrary, version: strings.TrimPrefix(toolchain, "go"), license: licenses["Go"]}}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep.Version, dep.Sum = dep.Replace.Version, dep.Replace.Sum
			if !strings.HasPrefix(dep.Replace.Path, ".") {
				dep.Path = dep.Replace.Path
			}
		}
		m := module{path: dep.Path, version: dep.Version, license: licenses[dep.Path]}
		if dep.Sum == "" { // in a folder of this repository
			m.version, m.license = r.version, projectLicense
		} else if m.hash, err = hexHash(dep.Sum); err != nil {
			return nil, fmt.Errorf("module %s: %w", dep.Path, err)
		}
		modules = append(modules, m)
	}
	for _, m := range modules {
		if m.license == "" {
			return nil, fmt.Errorf("%s has no licence of %s: write it for the same programs", r.licenses, m.path)
		}
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return modules, nil
}

// hexHash converts a hash of go.sum.
func hexHash(sum string) (string, error) {
	encoded, found := strings.CutPrefix(sum, "h1:")
	hash, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil {
		return "", fmt.Errorf("%q is not an h1 hash (%w)", sum, err)
	}
	return hex.EncodeToString(hash), nil
}

// readLicenses returns the licences of modules by path, as SPDX expressions.
func readLicenses(file string) (map[string]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []struct {
		Path     string
		Licenses []string
	}
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	licenses := map[string]string{}
	for _, m := range list {
		licenses[m.Path] = strings.Join(m.Licenses, " AND ")
	}
	return licenses, nil
}

// union returns the modules of all programs, sorted by path and version.
func (r *release) union() []module {
	all := map[module]bool{}
	for _, p := range r.programs {
		for _, m := range p.modules {
			all[m] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b module) int { return strings.Compare(a.purl(), b.purl()) })
}
