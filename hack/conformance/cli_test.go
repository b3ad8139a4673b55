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

// program is a CLI that signs images or attaches artifacts to them.
type program struct {
	name   string
	binary string
	// flags disable the services of Sigstore: no transparency log, and no signing configuration
	// from the TUF repository.
	flags []string
}

var (
	cosign   = &program{name: "cosign", binary: os.Getenv("COSIGN"), flags: []string{"--tlog-upload=false", "--use-signing-config=false"}}
	cosignV2 = &program{name: "cosign", binary: os.Getenv("COSIGN_V2"), flags: []string{"--tlog-upload=false"}}
	oras     = &program{name: "oras", binary: os.Getenv("ORAS")}
)

// printedVersion matches the version in the output of cosign and of ORAS.
var printedVersion = regexp.MustCompile(`(?m)^(?:Git)?Version:\s+v?(\S+)`)

// version returns NAME-VERSION, with the version that the CLI prints.
func (p *program) version(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	output, err := exec.CommandContext(t.Context(), p.binary, "version").CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), "%s version: %s", p.name, output)
	found := printedVersion.FindSubmatch(output)
	g.Expect(found).To(HaveLen(2), "%s version: %s", p.name, output)
	return p.name + "-" + string(found[1])
}

// run runs a command of a CLI in the folder of the fixture. The command must succeed. run returns
// its stdout.
func (fx *fixture) run(p *program, args ...string) string {
	fx.t.Helper()
	cmd := exec.CommandContext(fx.t.Context(), p.binary, args...)
	cmd.Dir = fx.dir
	cmd.Env = append(os.Environ(), "HOME="+fx.dir, "DOCKER_CONFIG="+fx.dir, "COSIGN_PASSWORD=",
		"COSIGN_EXPERIMENTAL=1") // required for --registry-referrers-mode=oci-1-1
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	fx.t.Logf("$ %s %s\n%s%s", p.name, strings.Join(args, " "), stdout.String(), stderr.String())
	fx.Expect(err).NotTo(HaveOccurred(), "%s %s: %s", p.version(fx.t), strings.Join(args, " "), stderr.String())
	return stdout.String()
}

// newKey generates a key pair with cosign, NAME.key and NAME.pub.
func (fx *fixture) newKey(name string) {
	fx.t.Helper()
	fx.run(cosign, "generate-key-pair", "--output-key-prefix="+name)
}

// importKey imports a private key with cosign as NAME.key and NAME.pub.
func (fx *fixture) importKey(name string, key crypto.PrivateKey) {
	fx.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	fx.Expect(err).NotTo(HaveOccurred())
	fx.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	fx.run(cosign, "import-key-pair", "--yes", "--key="+name+".pem", "--output-key-prefix="+name)
}

// format is a signature format of one version of cosign.
type format struct {
	cli   *program
	name  string
	flags []string
	// suffix is the suffix of the signature's tag, after the digest of the image. It is empty for
	// the tag that lists referrers.
	suffix string
}

// referrersMode stores legacy signatures as referrers of the image. It is experimental in both
// versions.
const referrersMode = "--registry-referrers-mode=oci-1-1"

// The formats of both versions. The first one of each version is its default. According to cosign
// 3, bundles will be the only format.
var (
	bundleBy3         = format{cli: cosign, name: "bundle"}
	legacyBy3         = format{cli: cosign, name: "legacy", flags: []string{"--new-bundle-format=false"}, suffix: ".sig"}
	legacyReferrerBy3 = format{cli: cosign, name: "legacy referrer", flags: []string{"--new-bundle-format=false", referrersMode}}
	legacyBy2         = format{cli: cosignV2, name: "legacy", suffix: ".sig"}
	legacyReferrerBy2 = format{cli: cosignV2, name: "legacy referrer", flags: []string{referrersMode}}
	bundleBy2         = format{cli: cosignV2, name: "bundle", flags: []string{"--new-bundle-format"}}
	formats           = []format{bundleBy3, legacyBy3, legacyReferrerBy3, legacyBy2, legacyReferrerBy2, bundleBy2}
)

// withEachFormat runs a subtest for each format, named after the version of the CLI and the format.
func withEachFormat(t *testing.T, test func(*fixture, format)) {
	t.Helper()
	for _, f := range formats {
		t.Run(f.cli.version(t)+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			test(newFixture(t), f)
		})
	}
}

// sign signs the image with a digest with the key NAME.key, and checks where the signature is
// stored.
func (f format) sign(fx *fixture, key, digest string, flags ...string) {
	fx.t.Helper()
	args := append([]string{"sign", "--yes", "--key=" + key + ".key", "--allow-http-registry"}, f.cli.flags...)
	args = append(append(args, f.flags...), flags...)
	fx.run(f.cli, append(args, fx.image()+"@"+digest)...)
	stored := ContainElement(tagPrefixOf(digest) + f.suffix)
	if f.suffix == "" && fx.registry != cluster.registry {
		stored = Not(stored)
	}
	fx.Expect(fx.tags()).To(stored, "location of a signature of the format %s", f.name)
}

// tagPrefixOf returns the prefix of the tags of signatures and referrers of an image.
func tagPrefixOf(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// bundleType is the media type of bundles that cosign 3 writes.
const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// attach attaches a file of the fixture, NAME or NAME:TYPE, to an image with ORAS.
func (fx *fixture) attach(digest, artifactType, file string) {
	fx.t.Helper()
	fx.run(oras, "attach", "--plain-http", "--artifact-type="+artifactType, fx.image()+"@"+digest, file)
}

// attest attaches an attestation of sbom.json to an image with cosign 3, signed by the key
// "release".
func (fx *fixture) attest(digest string) {
	fx.t.Helper()
	args := append([]string{"attest", "--yes", "--key=release.key", "--allow-http-registry",
		"--predicate=sbom.json", "--type=spdxjson"}, cosign.flags...)
	fx.run(cosign, append(args, fx.image()+"@"+digest)...)
}

// writeSignedFiles writes the signature of an image by the key "release" to the file signature, and the
// signed payload to the file payload.
func (fx *fixture) writeSignedFiles(digest string) {
	fx.t.Helper()
	args := append([]string{"sign", "--yes", "--key=release.key", "--allow-http-registry", "--upload=false",
		"--output-signature=signature", "--output-payload=payload"}, cosignV2.flags...)
	fx.run(cosignV2, append(args, fx.image()+"@"+digest)...)
}
