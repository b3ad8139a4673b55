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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// controllerFile returns the controller of this machine.
func controllerFile(t *testing.T) string {
	t.Helper()
	file := os.Getenv(stage.ControllerVariable)
	if file == "" {
		t.Fatalf("%s is not set, and this test needs the controller: run make test", stage.ControllerVariable)
	}
	return file
}

// arguments are those of an image for two platforms, this one and another one,
// whose binary none can run.
func arguments(t *testing.T, more ...string) []string {
	t.Helper()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-version", "v1.2.3", "-commit", "abc", "-created", "1700000000", "-license", "../../LICENSE"}, more...)
	return append(args, runtime.GOARCH+"="+controllerFile(t), "other="+other)
}

func startRegistry(t *testing.T) *stage.Registry {
	t.Helper()
	registry := &stage.Registry{Binary: os.Getenv(stage.RegistryVariable), Dir: t.TempDir()}
	if err := registry.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := registry.Stop(); err != nil {
			t.Error(err)
		}
	})
	return registry
}

// TestPush pushes the image twice, pulls it, and runs what is in it.
func TestPush(t *testing.T) {
	registry := startRegistry(t)
	var digests []string
	for _, reference := range []string{"reflector:one", "reflector:two"} {
		var out bytes.Buffer
		if err := run(t.Context(), arguments(t, "-push", registry.Image(reference)), &out); err != nil {
			t.Fatal(err)
		}
		digest, err := registry.Digest(t.Context(), reference)
		if err != nil {
			t.Fatal(err)
		}
		if want := "pushed " + registry.Image(reference) + "@" + digest + "\n"; out.String() != want {
			t.Errorf("it said %q, want %q", out.String(), want)
		}
		digests = append(digests, digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("the same input made two digests: %v", digests)
	}

	ref, err := name.ParseReference(registry.Image("reflector:one"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		t.Fatal(err)
	}
	checkConfig(t, image)
	checkProgram(t, image)
}

func checkConfig(t *testing.T, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]map[string]string{"labels": config.Config.Labels, "annotations": manifest.Annotations} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("other %s (-want +got):\n%s", what, diff)
		}
	}
}

// checkProgram runs the entry point of the image, which is all that it has but
// for the licence.
func checkProgram(t *testing.T, image v1.Image) {
	t.Helper()
	dir := t.TempDir()
	files := extract(t, image, dir)
	if diff := cmp.Diff([]string{"licenses/LICENSE 644", "usr/local/bin/image-reflector-controller 755"}, files); diff != "" {
		t.Errorf("other files (-want +got):\n%s", diff)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), filepath.Join(dir, config.Config.Entrypoint[0]), "--version").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	want, err := exec.CommandContext(t.Context(), controllerFile(t), "--version").Output()
	if err != nil || !strings.HasPrefix(string(want), "image-reflector-controller ") || !bytes.Equal(got, want) {
		t.Errorf("it says %q, and outside of the image %q (%v)", got, want, err)
	}
}

// extract writes the files of an image below a folder, and returns their names
// and modes.
func extract(t *testing.T, image v1.Image, dir string) []string {
	t.Helper()
	content := mutate.Extract(image)
	defer content.Close()
	var files []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 {
			t.Errorf("%s is owned by %d:%d, who may change it", header.Name, header.Uid, header.Gid)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		file, mode := filepath.Join(dir, header.Name), os.FileMode(header.Mode)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, data, mode)); err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%s %o", header.Name, mode))
	}
}

// TestLayout writes the image to a folder, as the same index for both platforms.
func TestLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "oci")
	var out bytes.Buffer
	if err := run(t.Context(), arguments(t, "-layout", dir), &out); err != nil {
		t.Fatal(err)
	}
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if want := "wrote " + dir + "@" + manifest.Manifests[0].Digest.String() + "\n"; out.String() != want {
		t.Errorf("it said %q, want %q", out.String(), want)
	}
	platforms, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, each := range platforms.Manifests {
		got = append(got, each.Platform.String())
	}
	if diff := cmp.Diff([]string{"linux/" + runtime.GOARCH, "linux/other"}, got); diff != "" {
		t.Errorf("other platforms (-want +got):\n%s", diff)
	}
}

func TestMistakes(t *testing.T) {
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
		if err := run(t.Context(), tc.args, io.Discard); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got the error %v, want %q", tc.reason, err, tc.want)
		}
	}
}
