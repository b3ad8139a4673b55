// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// controllerFile returns the path of the controller, built for this machine.
func controllerFile(t *testing.T) string {
	t.Helper()
	file := os.Getenv(testenv.ControllerVariable)
	NewWithT(t).Expect(file).NotTo(BeEmpty(), "%s is not set: run make test, which builds the controller", testenv.ControllerVariable)
	return file
}

// arguments returns the arguments for an image with two platforms: this one, and one with a binary
// that can't run.
func arguments(t *testing.T, more ...string) []string {
	t.Helper()
	other := filepath.Join(t.TempDir(), "other")
	NewWithT(t).Expect(os.WriteFile(other, []byte("no program"), 0o600)).To(Succeed())
	args := append([]string{"-version", "v1.2.3", "-commit", "abc", "-created", "1700000000", "-license", "../../LICENSE"}, more...)
	return append(args, runtime.GOARCH+"="+controllerFile(t), "other="+other)
}

func startRegistry(t *testing.T) *testenv.Registry {
	t.Helper()
	registry := &testenv.Registry{Binary: os.Getenv(testenv.RegistryVariable), Dir: t.TempDir()}
	NewWithT(t).Expect(registry.Start(t.Context())).To(Succeed())
	t.Cleanup(func() {
		if err := registry.Stop(); err != nil {
			t.Error(err)
		}
	})
	return registry
}

// TestPush_ProducesReproducibleRunnableImage pushes the image twice, pulls it, and runs its
// program.
func TestPush_ProducesReproducibleRunnableImage(t *testing.T) {
	g := NewWithT(t)
	registry := startRegistry(t)
	var digests []string
	for _, reference := range []string{"reflector:one", "reflector:two"} {
		var out bytes.Buffer
		g.Expect(run(t.Context(), arguments(t, "-push", registry.Image(reference)), &out)).To(Succeed())
		digest, err := registry.Digest(t.Context(), reference)
		g.Expect(err).NotTo(HaveOccurred())
		if want := "pushed " + registry.Image(reference) + "@" + digest + "\n"; out.String() != want {
			t.Errorf("output %q, want %q", out.String(), want)
		}
		digests = append(digests, digest)
	}
	g.Expect(digests[0]).To(Equal(digests[1]), "the same input resulted in two digests: %v", digests)

	ref, err := name.ParseReference(registry.Image("reflector:one"))
	g.Expect(err).NotTo(HaveOccurred())
	image, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	g.Expect(err).NotTo(HaveOccurred())
	checkConfig(t, image)
	checkProgram(t, image)
}

// TestPush_KeepsTag pushes the same image and another one to a tag that must not be overwritten.
func TestPush_KeepsTag(t *testing.T) {
	g := NewWithT(t)
	registry := startRegistry(t)
	for _, tc := range []struct{ version, prints, fails string }{
		{version: "v1.0.0", prints: "pushed "},
		{version: "v1.0.0", prints: "already pushed "},
		{version: "v1.0.1", fails: "exists with the digest sha256:"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"-version", tc.version, "-license", "../../LICENSE", "-push", registry.Image("reflector:kept"), "-keep", "amd64=/dev/null"}, &out)
		g.Expect(out.String()).To(HavePrefix(tc.prints))
		if tc.fails == "" {
			g.Expect(err).NotTo(HaveOccurred())
		} else {
			g.Expect(err).To(MatchError(ContainSubstring(tc.fails)))
			g.Expect(out.String()).To(BeEmpty())
		}
	}
}

func checkConfig(t *testing.T, image v1.Image) {
	t.Helper()
	g := NewWithT(t)
	config, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	if config.Config.User != "65532:65532" || config.Architecture != runtime.GOARCH || config.OS != "linux" {
		t.Errorf("user %q, platform %s/%s", config.Config.User, config.OS, config.Architecture)
	}
	want := map[string]string{
		"org.opencontainers.image.title":       "image-reflector-controller",
		"org.opencontainers.image.description": "Scans image repositories and selects the latest images",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     "v1.2.3",
		"org.opencontainers.image.revision":    "abc",
		"org.opencontainers.image.created":     "2023-11-14T22:13:20Z",
	}
	manifest, err := image.Manifest()
	g.Expect(err).NotTo(HaveOccurred())
	for kind, got := range map[string]map[string]string{"labels": config.Config.Labels, "annotations": manifest.Annotations} {
		g.Expect(got).To(BeComparableTo(want), "%s", kind)
	}
}

// checkProgram checks that the image contains only the program and the licence, and runs its entry
// point.
func checkProgram(t *testing.T, image v1.Image) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	files := extract(t, image, dir)
	g.Expect(files).To(BeComparableTo([]string{"licenses/LICENSE 644", "usr/local/bin/image-reflector-controller 755"}))
	config, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	got, err := exec.CommandContext(t.Context(), filepath.Join(dir, config.Config.Entrypoint[0]), "--version").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%v\n%s", err, got)
	want, err := exec.CommandContext(t.Context(), controllerFile(t), "--version").Output()
	if err != nil || !strings.HasPrefix(string(want), "image-reflector-controller ") || !bytes.Equal(got, want) {
		t.Errorf("the program in the image prints %q, the one outside %q (%v)", got, want, err)
	}
}

// extract writes the files of an image into a folder, and returns their names and modes.
func extract(t *testing.T, image v1.Image, dir string) []string {
	t.Helper()
	g := NewWithT(t)
	content := mutate.Extract(image)
	defer content.Close()
	var files []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(header.Uid).To(BeZero(), "owner of %s", header.Name)
		g.Expect(header.Gid).To(BeZero(), "owner of %s", header.Name)
		if header.Typeflag == tar.TypeDir {
			continue
		}
		data, err := io.ReadAll(archive)
		g.Expect(err).NotTo(HaveOccurred())
		file, mode := filepath.Join(dir, header.Name), os.FileMode(header.Mode)
		g.Expect(errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, data, mode))).To(Succeed())
		files = append(files, fmt.Sprintf("%s %o", header.Name, mode))
	}
}

// TestLayout_WritesMultiPlatformIndex writes an index for both platforms to a folder.
func TestLayout_WritesMultiPlatformIndex(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "oci")
	var out bytes.Buffer
	g.Expect(run(t.Context(), arguments(t, "-layout", dir), &out)).To(Succeed())
	root, err := layout.ImageIndexFromPath(dir)
	g.Expect(err).NotTo(HaveOccurred())
	manifest, err := root.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	g.Expect(err).NotTo(HaveOccurred())
	if want := "wrote " + dir + "@" + manifest.Manifests[0].Digest.String() + "\n"; out.String() != want {
		t.Errorf("output %q, want %q", out.String(), want)
	}
	platforms, err := index.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	var got []string
	for _, image := range platforms.Manifests {
		got = append(got, image.Platform.String())
	}
	g.Expect(got).To(BeComparableTo([]string{"linux/" + runtime.GOARCH, "linux/other"}))
}

func TestRun_RejectsInvalidArguments(t *testing.T) {
	for _, tc := range []struct {
		reason, want string
		args         []string
	}{
		{"there is no destination", "set -layout or -push", []string{"amd64=/dev/null"}},
		{"there is no program", "no binary is given", []string{"-layout", "any"}},
		{"a program has no architecture", `"/dev/null" is not a binary`, []string{"-layout", "any", "/dev/null"}},
		{"a program does not exist", "creating the image for amd64", []string{"-license", "../../LICENSE", "-layout", "any", "amd64=missing"}},
		{"a name without a registry would be pushed to Docker Hub", "is not a reference to push to", []string{"-license", "../../LICENSE", "-push", "reflector:dev", "amd64=/dev/null"}},
		{"a name without a tag would overwrite latest", "is not a reference to push to", []string{"-license", "../../LICENSE", "-push", "localhost:1/reflector", "amd64=/dev/null"}},
	} {
		NewWithT(t).Expect(run(t.Context(), tc.args, io.Discard)).To(MatchError(ContainSubstring(tc.want)), tc.reason)
	}
}
