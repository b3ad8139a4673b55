// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	spdxjson "github.com/spdx/tools-golang/json"
	"sigs.k8s.io/yaml"
)

// Digests in the layout of the tests.
var (
	indexDigest = "sha256:" + strings.Repeat("a", 64)
	imageDigest = "sha256:" + strings.Repeat("b", 64)
)

// write writes files into a folder.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// arguments returns those of a release whose programs are the test binary, and the folder of its
// files.
func arguments(t *testing.T) ([]string, string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	licenses := []map[string]any{{"Path": "Go", "Licenses": []string{"BSD-3-Clause"}}}
	for _, dep := range info.Deps {
		licenses = append(licenses, map[string]any{"Path": dep.Path, "Licenses": []string{"Apache-2.0", "MIT"}})
	}
	encoded, err := json.Marshal(licenses)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"LICENSE": "the licence", "licenses.json": string(encoded), "files/" + notices: "the notices", "files/install.yaml": "kind: List",
		"oci/index.json": `{"manifests":[{"digest":"` + indexDigest + `"}]}`,
		"oci/blobs/" + strings.Replace(indexDigest, ":", "/", 1): `{"manifests":[{"digest":"` + imageDigest + `","platform":{"os":"linux","architecture":"amd64"}}]}`,
	})
	files := filepath.Join(dir, "files")
	return []string{
		"-version=v1.0.0", "-commit=" + strings.Repeat("c", 40), "-created=1700000000", "-builder=https://example.com/builder", "-repository=https://example.com/org/name",
		"-url=https://example.com/files", "-image=registry.example.com:5000/org/name:v1.0.0", "-dir=" + files, "-image-layout=" + filepath.Join(dir, "oci"),
		"-license=" + filepath.Join(dir, "LICENSE"), "-licenses=" + filepath.Join(dir, "licenses.json"),
		controller + "/linux/amd64=" + program, plugin + "/linux/amd64=" + program, plugin + "/windows/amd64=" + program,
	}, files
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestRun_WritesSameBytesTwice writes the same release into two folders.
func TestRun_WritesSameBytesTwice(t *testing.T) {
	var checksums []string
	for range 2 {
		args, files := arguments(t)
		var out bytes.Buffer
		if err := run(args, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "image registry.example.com:5000/org/name:v1.0.0@"+indexDigest) {
			t.Errorf("got %q", out.String())
		}
		checksums = append(checksums, string(read(t, files, checksumsFile)))
	}
	if checksums[0] != checksums[1] {
		t.Errorf("got %s\nand %s", checksums[0], checksums[1])
	}
	if lines := strings.Count(checksums[0], "\n"); lines != 9 {
		t.Errorf("got %d checksums in\n%s", lines, checksums[0])
	}
}

// TestSBOM_IsValidAndComplete reads the document with the library, and looks up a module of this
// command.
func TestSBOM_IsValidAndComplete(t *testing.T) {
	args, files := arguments(t)
	if err := run(args, io.Discard); err != nil {
		t.Fatal(err)
	}
	content := read(t, files, controller+"_1.0.0_sbom.spdx.json")
	if err := validateSBOM(content); err != nil {
		t.Error(err)
	}
	doc, err := spdxjson.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range doc.Packages {
		found[string(p.PackageSPDXIdentifier)] = p.PackageExternalReferences[0].Locator + " " + p.PackageLicenseConcluded
	}
	for id, want := range map[string]string{
		"module-sigs.k8s.io-yaml-v1.6.0": "pkg:golang/sigs.k8s.io/yaml@v1.6.0 Apache-2.0 AND MIT",
		"image-linux-amd64": "pkg:oci/name@" + strings.Replace(imageDigest, ":", "%3A", 1) +
			"?repository_url=registry.example.com%3A5000%2Forg%2Fname&tag=v1.0.0&arch=amd64 NOASSERTION",
	} {
		if found[id] != want {
			t.Errorf("%s: got %q, want %q", id, found[id], want)
		}
	}
	invalid := bytes.Replace(content, []byte(`"relatedSpdxElement": "SPDXRef-module-`), []byte(`"relatedSpdxElement": "SPDXRef-missing-`), 1)
	if err := validateSBOM(invalid); err == nil {
		t.Error("a relationship to no package is valid")
	}
}

// TestArchives_ContainPluginAndLicenses reads the archive for Windows, and its entries in the
// manifests.
func TestArchives_ContainPluginAndLicenses(t *testing.T) {
	args, files := arguments(t)
	if err := run(args, io.Discard); err != nil {
		t.Fatal(err)
	}
	const name = plugin + "_1.0.0_windows_amd64.zip"
	archive, err := zip.OpenReader(filepath.Join(files, name))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var names []string
	for _, f := range archive.File {
		names = append(names, fmt.Sprintf("%s %s %d", f.Name, f.Mode(), f.Modified.Unix()))
	}
	if want := []string{"LICENSE -rw-r--r-- 1700000000", notices + " -rw-r--r-- 1700000000", plugin + ".exe -rwxr-xr-x 1700000000"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	checksum, err := sha256Of(filepath.Join(files, name))
	if err != nil {
		t.Fatal(err)
	}
	var krew krewPlugin
	var flux fluxPlugin
	decode(t, read(t, files, krewManifest), &krew)
	decode(t, read(t, files, fluxManifest), &flux)
	if got := krew.Spec.Platforms[1]; got.Bin != plugin+".exe" || got.URI != "https://example.com/files/"+name || got.SHA256 != checksum {
		t.Errorf("krew: got %+v", got)
	}
	if got := flux.Versions[0].Platforms[1]; got.OS != "windows" || got.Checksum != "sha256:"+checksum || flux.Versions[0].Version != "1.0.0" {
		t.Errorf("flux: got %+v", got)
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		t.Fatal(err)
	}
}

func TestRun_RejectsInvalidInput(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(args []string, dir string) []string
		want   string
	}{
		"a flag is missing": {func(args []string, _ string) []string { return args[1:] }, "set -version"},
		"no plugin":         {func(args []string, _ string) []string { return args[:12] }, "write at least one"},
		"no platform":       {func(args []string, _ string) []string { return append(args, plugin+"=/file") }, "is not a program"},
		"no program of Go": {func(args []string, dir string) []string {
			return append(args, plugin+"/linux/arm64="+dir+"/install.yaml")
		}, "reading the modules"},
		"no notices": {func(args []string, dir string) []string { _ = os.Remove(filepath.Join(dir, notices)); return args }, notices},
		"licences of another": {func(args []string, dir string) []string {
			write(t, dir, map[string]string{"../licenses.json": "[]"})
			return args
		}, "has no licence of"},
		"two images": {func(args []string, dir string) []string {
			write(t, dir, map[string]string{"../oci/index.json": `{"manifests":[{},{}]}`})
			return args
		}, "contains 2 images"},
	} {
		t.Run(name, func(t *testing.T) {
			args, dir := arguments(t)
			if err := run(tc.change(args, dir), io.Discard); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestReadModules_RejectsAnotherVersionOfGo(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &release{goVersion: "go1.0"}
	if _, err := r.readModules(program); err == nil || !strings.Contains(err.Error(), "build all programs with one version of Go") {
		t.Errorf("got %v, want an error about the versions", err)
	}
}

func TestModule_NamesFollowFormats(t *testing.T) {
	m := module{path: "github.com/Azure/go+x", version: "v2.0.0+incompatible", hash: "00"}
	if got := m.purl(); got != "pkg:golang/github.com/Azure/go+x@v2.0.0%2Bincompatible" {
		t.Error(got)
	}
	if got := string(m.id()); got != "module-github.com-Azure-go-x-v2.0.0-incompatible" {
		t.Error(got)
	}
	if got := m.spdx().PackageDownloadLocation; got != "https://proxy.golang.org/github.com/!azure/go+x/@v/v2.0.0+incompatible.zip" {
		t.Error(got)
	}
	if hash, err := hexHash("h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="); err != nil || hash != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error(hash, err) // the example of https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md
	}
	if _, err := hexHash("h2:AA"); err == nil {
		t.Error("a hash of another kind is accepted")
	}
}
