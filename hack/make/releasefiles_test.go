// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"archive/tar"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	intoto "github.com/in-toto/attestation/go/v1"
	. "github.com/onsi/gomega"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// released is the version of the tests, without the v.
const released = "1.2.3-rc.1"

// tree is a copy of this repository with one commit, in which releases can be tagged.
type tree struct {
	dir, files string // of the copy, and of the release
	image      string
	registry   *testenv.Registry
	downloads  *httptest.Server
}

// newTree copies all files that are not ignored, with their changes.
func newTree(t *testing.T) *tree {
	t.Helper()
	g := NewWithT(t)
	registry := &testenv.Registry{Binary: programs.Registry, Dir: t.TempDir()}
	g.Expect(registry.Start(t.Context())).To(Succeed())
	t.Cleanup(func() { g.Expect(registry.Stop()).To(Succeed()) })
	created := &tree{dir: t.TempDir(), registry: registry, image: registry.Image("org/" + controller)}
	created.files = filepath.Join(created.dir, "build/release/v"+released)
	created.downloads = httptest.NewServer(http.FileServer(http.Dir(created.files)))
	t.Cleanup(created.downloads.Close)

	// the times of the files are preserved, because make compares those of tools
	copying := exec.CommandContext(t.Context(), "sh", "-c", `git ls-files -z -co --exclude-standard --deduplicate | tar --null -T - -cf - | tar -xf - -C "$0"`, created.dir)
	copying.Dir = root
	out, err := copying.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s", out)
	file := filepath.Join(created.dir, "CHANGELOG.md")
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	content = append(content, "\n## v"+released+" - 2026-12-01\n\n- The tested change.\n"...)
	g.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	created.git(t, "init", "-q")
	created.git(t, "add", ".")
	created.commit(t)
	return created
}

func (r *tree) git(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%s", out)
}

func (r *tree) commit(t *testing.T) {
	t.Helper()
	r.git(t, "commit", "-q", "--allow-empty", "-m", "test")
}

// release runs make release, for the platform of this machine only, because compiling for others
// takes minutes.
func (r *tree) release(t *testing.T, args ...string) (string, error) {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return runMakeIn(t, r.dir, append([]string{"release", "VERSION=v" + released, "BIN=" + bin, "IMAGE=" + r.image + ":v" + released,
		"RELEASE_PLATFORMS=linux/" + runtime.GOARCH, "RELEASE_URL=" + r.downloads.URL}, args...)...)
}

// read returns a file of the release.
func (r *tree) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.files, name))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return content
}

// names returns the names of all files of the release.
func (r *tree) names(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(r.files)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// TestRelease_InstallsFromProducedFiles builds a release, and installs everything from its files as
// users do.
func TestRelease_InstallsFromProducedFiles(t *testing.T) {
	g := NewWithT(t)
	r := newTree(t)
	r.git(t, "tag", "v"+released)
	out, err := r.release(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(And(ContainSubstring("gh release create v"+released+" --prerelease "), Not(ContainSubstring("warning"))))
	t.Run("Files", r.checkFiles)
	t.Run("Provenance", r.checkProvenance)
	t.Run("Image", r.checkImage)
	t.Run("Install", r.checkInstall)
	t.Run("DryRun", r.checkDryRun)
}

// checkDryRun builds the same files again, without the tag and with other settings.
func (r *tree) checkDryRun(t *testing.T) {
	if os.Getenv(fluxVariable) == "" {
		t.Skipf("%s is not set: a second build takes half a minute, which make conformance takes", fluxVariable)
	}
	g := NewWithT(t)
	r.git(t, "tag", "--delete", "v"+released)
	out, err := r.release(t, "DRY_RUN=1", "RELEASES=build/dry", "GOAMD64=v3", "GOFLAGS=-tags=other", "SOURCE_DATE_EPOCH=1", "COMMIT=other")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(And(ContainSubstring("warning: there is no tag v"+released), ContainSubstring("nothing was published"), Not(ContainSubstring("pushed"))))
	dry, err := os.ReadFile(filepath.Join(r.dir, "build/dry/v"+released, "checksums.txt"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(dry)).To(Equal(string(r.read(t, "checksums.txt"))), "two builds have the same bytes")
}

func (r *tree) checkFiles(t *testing.T) {
	g := NewWithT(t)
	g.Expect(r.names(t)).To(ConsistOf("NOTES.md", "THIRD_PARTY_NOTICES.txt", "checksums.txt", "install.yaml", "krew.yaml", "imagepolicy.yaml",
		"provenance.intoto.json", controller+".crds.yaml", controller+".deployment.yaml",
		controller+"_"+released+"_oci.tar", controller+"_"+released+"_sbom.spdx.json", "flux-imagepolicy_"+released+"_linux_"+runtime.GOARCH+".tar.gz"))
	g.Expect(string(r.read(t, "NOTES.md"))).To(Equal("- The tested change.\n"))
	var want strings.Builder
	for _, name := range r.names(t) {
		if name != "checksums.txt" {
			fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(r.read(t, name)), name)
		}
	}
	g.Expect(string(r.read(t, "checksums.txt"))).To(Equal(want.String()), "all files but this one have a checksum")
}

// checkProvenance compares the subjects with the files and the image in the registry.
func (r *tree) checkProvenance(t *testing.T) {
	g := NewWithT(t)
	statement := &intoto.Statement{}
	g.Expect(protojson.Unmarshal(r.read(t, "provenance.intoto.json"), statement)).To(Succeed())
	g.Expect(statement.Validate()).To(Succeed())
	digest, err := r.registry.Digest(t.Context(), "org/"+controller+":v"+released)
	g.Expect(err).NotTo(HaveOccurred(), "the release pushed the image")
	want := map[string]string{r.image: strings.TrimPrefix(digest, "sha256:")}
	for line := range strings.Lines(string(r.read(t, "checksums.txt"))) {
		fields := strings.Fields(line)
		if fields[1] != "provenance.intoto.json" {
			want[fields[1]] = fields[0]
		}
	}
	got := map[string]string{}
	for _, subject := range statement.GetSubject() {
		got[subject.GetName()] = subject.GetDigest()["sha256"]
	}
	g.Expect(got).To(Equal(want))
	commit := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD")
	commit.Dir = r.dir
	out, err := commit.Output()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(r.read(t, "provenance.intoto.json"))).To(ContainSubstring(`"gitCommit": "` + strings.TrimSpace(string(out)) + `"`))
}

// unpack extracts a tar archive.
func unpack(t *testing.T, content io.Reader, dir string) {
	t.Helper()
	g := NewWithT(t)
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		g.Expect(err).NotTo(HaveOccurred())
		path := filepath.Join(dir, filepath.Clean("/"+header.Name))
		if header.Typeflag == tar.TypeDir {
			continue
		}
		data, err := io.ReadAll(archive)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, header.FileInfo().Mode()))).To(Succeed())
	}
}

// sbom is the part of an SPDX document that tests compare.
type sbom struct {
	Relationships []struct{ SpdxElementID, RelationshipType, RelatedSpdxElement string }
	Packages      []struct {
		SPDXID, Name, VersionInfo string
		LicenseConcluded          string
	}
}

// checkModules compares the modules of an artifact in the SBOM with those that are linked into its
// binary.
func (r *tree) checkModules(t *testing.T, artifact, binary string) {
	t.Helper()
	g := NewWithT(t)
	info, err := buildinfo.ReadFile(binary)
	g.Expect(err).NotTo(HaveOccurred())
	want := []string{"stdlib " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, dep := range info.Deps {
		version := dep.Version
		if dep.Replace != nil {
			version = "v" + released // the API, in a folder of this repository
		}
		want = append(want, dep.Path+" "+version)
	}
	var doc sbom
	g.Expect(json.Unmarshal(r.read(t, controller+"_"+released+"_sbom.spdx.json"), &doc)).To(Succeed())
	names := map[string]string{}
	for _, p := range doc.Packages {
		g.Expect(p.LicenseConcluded).NotTo(BeEmpty(), p.Name)
		names[p.SPDXID] = p.Name + " " + p.VersionInfo
	}
	var got []string
	for _, relation := range doc.Relationships {
		if relation.SpdxElementID == "SPDXRef-"+artifact && relation.RelationshipType == "DEPENDS_ON" {
			got = append(got, names[relation.RelatedSpdxElement])
		}
	}
	g.Expect(got).To(ConsistOf(want))
}

// TestReleaseCheck_ReportsWhatIsMissing runs make release on trees that can't be released.
func TestReleaseCheck_ReportsWhatIsMissing(t *testing.T) {
	r := newTree(t)
	r.git(t, "tag", "v"+released)
	taken := filepath.Join(r.dir, "build/taken/v"+released)
	NewWithT(t).Expect(os.MkdirAll(taken, 0o700)).To(Succeed())
	dirty := func() {
		NewWithT(t).Expect(os.WriteFile(filepath.Join(r.dir, "untracked.go"), nil, 0o600)).To(Succeed())
	}
	for _, tc := range []struct {
		reason, want string
		args         []string
		before       func()
	}{
		{reason: "the default version is that of a build", want: "name the version", args: []string{"VERSION="}},
		{reason: "versions have three numbers", want: "VERSION 'v1.0' is not a version", args: []string{"VERSION=v1.0"}},
		{reason: "tags begin with v", want: "VERSION '1.0.0' is not a version", args: []string{"VERSION=1.0.0"}},
		{reason: "numbers have no leading zeros", want: "is not a version", args: []string{"VERSION=v1.0.0-01"}},
		{reason: "a tag of an image contains no +", want: "is not a version", args: []string{"VERSION=v1.0.0+1"}},
		{reason: "DRY_RUN=0 could be meant as no dry run", want: "DRY_RUN is '0'", args: []string{"DRY_RUN=0"}},
		{reason: "the image would have another tag", want: "with a registry and the tag v" + released, args: []string{"IMAGE=" + r.image}},
		{reason: "published files are not replaced", want: "taken/v" + released + " exists: remove it", args: []string{"RELEASES=build/taken"}},
		{reason: "the section is missing", want: `no section "## v9.0.0"`, args: []string{"VERSION=v9.0.0", "IMAGE="}, before: func() { r.git(t, "tag", "v9.0.0") }},
		{reason: "no tag has that version", want: "there is no tag v9.1.0", args: []string{"VERSION=v9.1.0", "IMAGE="}},
		{reason: "a tag of an earlier commit", want: "is not HEAD", before: func() { r.commit(t) }},
		{reason: "the commit does not contain a file", want: "changes that are not committed", before: dirty},
	} {
		if tc.before != nil {
			tc.before()
		}
		if out, err := r.release(t, tc.args...); err == nil || !strings.Contains(out, tc.want) {
			t.Errorf("%s: make returned %v, want an error with %q", tc.reason, err, tc.want)
		}
	}
	out, err := runMakeIn(t, r.dir, "release-check", "VERSION=v"+released, "DRY_RUN=1")
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "a dry run needs neither a tag nor a commit")
	NewWithT(t).Expect(out).To(And(ContainSubstring("warning: the tree has changes"), ContainSubstring("is not HEAD")))
}
