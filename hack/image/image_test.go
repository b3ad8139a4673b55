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

// controllerFile returns the controller of this machine.
func controllerFile(t *testing.T) string {
	t.Helper()
	file := os.Getenv(testenv.ControllerVariable)
	NewWithT(t).Expect(file).NotTo(BeEmpty(), "%s is not set, and this test needs the controller: run make test", testenv.ControllerVariable)
	return file
}

// arguments are those of an image for two platforms, this one and another one,
// whose binary none can run.
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

// TestPush_ProducesReproducibleRunnableImage pushes the image twice, pulls it, and runs what is in it.
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
			t.Errorf("it said %q, want %q", out.String(), want)
		}
		digests = append(digests, digest)
	}
	g.Expect(digests[0]).To(Equal(digests[1]), "the same input made two digests: %v", digests)

	ref, err := name.ParseReference(registry.Image("reflector:one"))
	g.Expect(err).NotTo(HaveOccurred())
	image, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	g.Expect(err).NotTo(HaveOccurred())
	checkConfig(t, image)
	checkProgram(t, image)
}

func checkConfig(t *testing.T, image v1.Image) {
	t.Helper()
	g := NewWithT(t)
	config, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	if config.Config.User != "65532:65532" || config.Architecture != runtime.GOARCH || config.OS != "linux" {
		t.Errorf("the user is %q, on %s/%s", config.Config.User, config.OS, config.Architecture)
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
	for what, got := range map[string]map[string]string{"labels": config.Config.Labels, "annotations": manifest.Annotations} {
		g.Expect(got).To(BeComparableTo(want), "other %s", what)
	}
}

// checkProgram runs the entry point of the image, which is all that it has but
// for the licence.
func checkProgram(t *testing.T, image v1.Image) {
	t.Helper()
	g := NewWithT(t)
	dir := t.TempDir()
	files := extract(t, image, dir)
	g.Expect(files).To(BeComparableTo([]string{"licenses/LICENSE 644", "usr/local/bin/image-reflector-controller 755"}), "other files")
	config, err := image.ConfigFile()
	g.Expect(err).NotTo(HaveOccurred())
	got, err := exec.CommandContext(t.Context(), filepath.Join(dir, config.Config.Entrypoint[0]), "--version").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%v\n%s", err, got)
	want, err := exec.CommandContext(t.Context(), controllerFile(t), "--version").Output()
	if err != nil || !strings.HasPrefix(string(want), "image-reflector-controller ") || !bytes.Equal(got, want) {
		t.Errorf("it says %q, and outside of the image %q (%v)", got, want, err)
	}
}

// extract writes the files of an image below a folder, and returns their names
// and modes.
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
		g.Expect(header.Uid).To(BeZero(), "%s is owned by", header.Name)
		g.Expect(header.Gid).To(BeZero(), "%s is owned by", header.Name)
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

// TestLayout_WritesMultiPlatformIndex writes the image to a folder, as the same index for both platforms.
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
		t.Errorf("it said %q, want %q", out.String(), want)
	}
	platforms, err := index.IndexManifest()
	g.Expect(err).NotTo(HaveOccurred())
	var got []string
	for _, each := range platforms.Manifests {
		got = append(got, each.Platform.String())
	}
	g.Expect(got).To(BeComparableTo([]string{"linux/" + runtime.GOARCH, "linux/other"}), "other platforms")
}

func TestRun_RejectsInvalidArguments(t *testing.T) {
	for _, tc := range []struct {
		reason, want string
		args         []string
	}{
		{"nothing says where it goes", "-layout or -push", []string{"amd64=/dev/null"}},
		{"there is no program", "no binary is named", []string{"-layout", "any"}},
		{"a program has no architecture", `"/dev/null" is no binary`, []string{"-layout", "any", "/dev/null"}},
		{"a program does not exist", "the image for amd64 can't be made", []string{"-license", "../../LICENSE", "-layout", "any", "amd64=missing"}},
		{"a name without a registry would go to Docker Hub", "does not say where to push", []string{"-license", "../../LICENSE", "-push", "reflector:dev", "amd64=/dev/null"}},
		{"a name without a tag would overwrite latest", "does not say where to push", []string{"-license", "../../LICENSE", "-push", "localhost:1/reflector", "amd64=/dev/null"}},
	} {
		NewWithT(t).Expect(run(t.Context(), tc.args, io.Discard)).To(MatchError(ContainSubstring(tc.want)), tc.reason)
	}
}
