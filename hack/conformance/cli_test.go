// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// program is a CLI that signs images, or attaches artifacts to them.
type program struct {
	name   string
	binary string
	// flags are those by which it signs without the services of Sigstore: no
	// transparency log, and no list of services from the TUF repository.
	flags []string
}

var (
	cosign   = &program{name: "cosign", binary: os.Getenv("COSIGN"), flags: []string{"--tlog-upload=false", "--use-signing-config=false"}}
	cosignV2 = &program{name: "cosign", binary: os.Getenv("COSIGN_V2"), flags: []string{"--tlog-upload=false"}}
	oras     = &program{name: "oras", binary: os.Getenv("ORAS")}
)

// printedVersion is the line of a version, in the words of cosign and of ORAS.
var printedVersion = regexp.MustCompile(`(?m)^(?:Git)?Version:\s+v?(\S+)`)

// version returns the name and the version of a CLI, as it prints them itself.
func (p *program) version(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	output, err := exec.CommandContext(t.Context(), p.binary, "version").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s version: %s", p.name, output)
	found := printedVersion.FindSubmatch(output)
	g.Expect(found).To(HaveLen(2), "%s version: %s", p.name, output)
	return p.name + "-" + string(found[1])
}

// run runs one command of a CLI in the folder of the team, which must succeed, and
// returns what it printed on stdout.
func (s *team) run(p *program, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), p.binary, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "DOCKER_CONFIG="+s.dir, "COSIGN_PASSWORD=",
		"COSIGN_EXPERIMENTAL=1") // without which it refuses --registry-referrers-mode=oci-1-1
	var output, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &problems
	err := cmd.Run()
	s.t.Logf("$ %s %s\n%s%s", p.name, strings.Join(args, " "), output.String(), problems.String())
	s.Expect(err).NotTo(HaveOccurred(), "%s %s: %s", p.version(s.t), strings.Join(args, " "), problems.String())
	return output.String()
}

// newKey has cosign make a pair of keys, NAME.key and NAME.pub.
func (s *team) newKey(name string) {
	s.t.Helper()
	s.run(cosign, "generate-key-pair", "--output-key-prefix="+name)
}

// importKey has cosign make a pair of keys, NAME.key and NAME.pub, of a private key.
func (s *team) importKey(name string, key crypto.PrivateKey) {
	s.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	s.Expect(err).NotTo(HaveOccurred())
	s.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	s.run(cosign, "import-key-pair", "--yes", "--key="+name+".pem", "--output-key-prefix="+name)
}

// way is one of the ways in which the CLIs of cosign sign with a key.
type way struct {
	cli   *program
	name  string
	flags []string
	// left is the end of the tag under which the signature is found, after the
	// digest of the image: "" for the one that lists referrers.
	left string
}

// referringMode has legacy signatures refer to the image. Both versions call it
// experimental.
const referringMode = "--registry-referrers-mode=oci-1-1"

// The formats of each version, the first one of a version its default. cosign 3
// announces that bundles will be the only one.
var (
	bundleBy3         = way{cli: cosign, name: "bundle"}
	legacyBy3         = way{cli: cosign, name: "legacy", flags: []string{"--new-bundle-format=false"}, left: ".sig"}
	legacyReferrerBy3 = way{cli: cosign, name: "legacy referrer", flags: []string{"--new-bundle-format=false", referringMode}}
	legacyBy2         = way{cli: cosignV2, name: "legacy", left: ".sig"}
	legacyReferrerBy2 = way{cli: cosignV2, name: "legacy referrer", flags: []string{referringMode}}
	bundleBy2         = way{cli: cosignV2, name: "bundle", flags: []string{"--new-bundle-format"}}
	ways              = []way{bundleBy3, legacyBy3, legacyReferrerBy3, legacyBy2, legacyReferrerBy2, bundleBy2}
)

// withEachWay runs a test with each way to sign. The names of the tests have the
// version of the CLI.
func withEachWay(t *testing.T, test func(*team, way)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.cli.version(t)+"/"+w.name, func(t *testing.T) {
			t.Parallel()
			test(newTeam(t), w)
		})
	}
}

// sign has the CLI sign an image of a digest with a key.
func (w way) sign(s *team, key, digest string, flags ...string) {
	s.t.Helper()
	args := append([]string{"sign", "--yes", "--key=" + key + ".key", "--allow-http-registry"}, w.cli.flags...)
	args = append(append(args, w.flags...), flags...)
	s.run(w.cli, append(args, s.image()+"@"+digest)...)
	found := ContainElement(tagOf(digest) + w.left)
	if w.left == "" && s.registry != cluster.registry {
		found = Not(found)
	}
	s.Expect(s.tags()).To(found, "where %s leaves a signature", w.name)
}

// tagOf is the beginning of the tags under which something about an image is kept.
func tagOf(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// bundleType is the type of the bundles that cosign 3 writes.
const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// attach has ORAS attach a file of the team, as NAME or NAME:TYPE, to an image.
func (s *team) attach(digest, artifactType, file string) {
	s.t.Helper()
	s.run(oras, "attach", "--plain-http", "--artifact-type="+artifactType, s.image()+"@"+digest, file)
}

// attest has cosign 3 attest the content of sbom.json of an image, by the key
// "release".
func (s *team) attest(digest string) {
	s.t.Helper()
	args := append([]string{"attest", "--yes", "--key=release.key", "--allow-http-registry",
		"--predicate=sbom.json", "--type=spdxjson"}, cosign.flags...)
	s.run(cosign, append(args, s.image()+"@"+digest)...)
}

// signedFiles writes the signature of an image by the key "release" into the file
// signature, and what is signed into the file payload.
func (s *team) signedFiles(digest string) {
	s.t.Helper()
	args := append([]string{"sign", "--yes", "--key=release.key", "--allow-http-registry", "--upload=false",
		"--output-signature=signature", "--output-payload=payload"}, cosignV2.flags...)
	s.run(cosignV2, append(args, s.image()+"@"+digest)...)
}
