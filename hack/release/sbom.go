// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"
)

// noAssertion is the value of fields that this document states nothing about.
const noAssertion = "NOASSERTION"

// sbom returns the name of the SBOM, as Flux names those of its controllers.
func (r *release) sbom() string { return fmt.Sprintf("%s_%s_sbom.spdx.json", controller, r.number()) }

// writeSBOM writes a document in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3) about the image
// and the archives of the plugin, and the modules that are linked into each.
func (r *release) writeSBOM() error {
	index, err := readLayout(r.layout)
	if err != nil {
		return err
	}
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      controller + " " + r.version,
		DocumentNamespace: fmt.Sprintf("%s/releases/%s/%s", r.repository, r.version, strings.Replace(index.Digest, ":", "/", 1)),
		CreationInfo: &spdx.CreationInfo{
			Created: r.created.Format(time.RFC3339),
			Creators: []spdx.Creator{
				{CreatorType: "Tool", Creator: "hack/release-" + r.version}, {CreatorType: "Organization", Creator: "The Flux authors"},
			},
		},
	}
	for _, m := range r.union() {
		doc.Packages = append(doc.Packages, m.spdx())
	}
	r.describeImage(doc, index)
	if err := r.describeArchives(doc); err != nil {
		return err
	}
	return r.write(r.sbom(), func(out io.Writer) error {
		var content bytes.Buffer
		if err := json.Write(doc, &content, json.Indent(" "), json.EscapeHTML(false)); err != nil {
			return err
		}
		if err := validateSBOM(content.Bytes()); err != nil {
			return err
		}
		_, err := content.WriteTo(out)
		return err
	})
}

// validateSBOM reads a document as consumers do.
func validateSBOM(content []byte) error {
	doc, err := json.Read(bytes.NewReader(content))
	if err != nil {
		return err
	}
	return spdxlib.ValidateDocument(doc)
}

// describeImage adds the index, and the image of each platform.
func (r *release) describeImage(doc *spdx.Document, index layoutIndex) {
	name, tag := cutTag(r.image)
	repository := "?repository_url=" + url.QueryEscape(name) + "&tag=" + url.QueryEscape(tag)
	purl := func(digest string) string {
		return "pkg:oci/" + path.Base(name) + "@" + url.QueryEscape(digest) + repository
	}
	all := r.artifact(doc, "image", name, purl(index.Digest), index.Digest)
	all.PrimaryPackagePurpose = "CONTAINER"
	relate(doc, "DOCUMENT", common.TypeRelationshipDescribe, all.PackageSPDXIdentifier)
	for _, p := range r.of(controller) {
		digest := index.platforms[p.os+"/"+p.arch]
		image := r.artifact(doc, "image-"+p.os+"-"+p.arch, name, purl(digest)+"&arch="+p.arch, digest)
		image.PrimaryPackagePurpose = "CONTAINER"
		relate(doc, all.PackageSPDXIdentifier, common.TypeRelationshipContains, image.PackageSPDXIdentifier)
		p.relateModules(doc, image)
	}
}

// describeArchives adds the archives of the plugin.
func (r *release) describeArchives(doc *spdx.Document) error {
	for _, p := range r.of(plugin) {
		checksum, err := sha256Of(r.path(r.archive(p)))
		if err != nil {
			return err
		}
		location := r.url + "/" + r.archive(p)
		purl := fmt.Sprintf("pkg:generic/%s@%s?checksum=sha256:%s&download_url=%s", plugin, r.version, checksum, url.QueryEscape(location))
		archive := r.artifact(doc, "archive-"+p.os+"-"+p.arch, plugin, purl, "sha256:"+checksum)
		archive.PackageFileName, archive.PackageDownloadLocation, archive.PrimaryPackagePurpose = r.archive(p), location, "ARCHIVE"
		relate(doc, "DOCUMENT", common.TypeRelationshipDescribe, archive.PackageSPDXIdentifier)
		p.relateModules(doc, archive)
	}
	return nil
}

// artifact adds a package for an image or file with the digest sha256:HEX.
func (r *release) artifact(doc *spdx.Document, id, name, purl, digest string) *spdx.Package {
	added := &spdx.Package{
		PackageName: name, PackageSPDXIdentifier: spdx.ElementID(id), PackageVersion: r.version,
		PackageSupplier:         &spdx.Supplier{SupplierType: "Organization", Supplier: "The Flux authors"},
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: projectLicense,
		PackageCopyrightText: noAssertion, PackageChecksums: sha256Checksum(strings.TrimPrefix(digest, "sha256:")),
		PackageExternalReferences: []*spdx.PackageExternalReference{purlReference(purl)},
	}
	doc.Packages = append(doc.Packages, added)
	return added
}

// spdx returns the package of a module. Its checksum is the hash of go.sum, as syft and ko write it
// (https://github.com/anchore/syft/pull/1265, https://github.com/ko-build/ko/pull/512), although it
// is not the one of the file at the location.
func (m module) spdx() *spdx.Package {
	added := &spdx.Package{
		PackageName: m.path, PackageSPDXIdentifier: m.id(), PackageVersion: m.version, PackageDownloadLocation: noAssertion,
		PackageLicenseConcluded: m.license, PackageLicenseDeclared: m.license, PackageCopyrightText: noAssertion,
		PrimaryPackagePurpose: "LIBRARY", PackageExternalReferences: []*spdx.PackageExternalReference{purlReference(m.purl())},
	}
	if m.hash != "" {
		added.PackageChecksums = sha256Checksum(m.hash)
		added.PackageDownloadLocation = fmt.Sprintf("https://proxy.golang.org/%s/@v/%s.zip", escaped(m.path), escaped(m.version))
		added.PackageSourceInfo = "the checksum is the h1 hash of go.sum, in hex"
	}
	return added
}

var (
	invalidInID = regexp.MustCompile(`[^A-Za-z0-9.]+`)
	upperCase   = regexp.MustCompile(`[A-Z]`)
)

// id returns the identifier of a module, in which only letters, digits, dots and hyphens are valid.
func (m module) id() spdx.ElementID {
	return spdx.ElementID("module-" + invalidInID.ReplaceAllString(m.path+"-"+m.version, "-"))
}

// escaped returns a path or version as the module proxy has it:
// https://go.dev/ref/mod#goproxy-protocol
func escaped(text string) string {
	return upperCase.ReplaceAllStringFunc(text, func(letter string) string { return "!" + strings.ToLower(letter) })
}

func (p program) relateModules(doc *spdx.Document, to *spdx.Package) {
	for _, m := range p.modules {
		relate(doc, to.PackageSPDXIdentifier, common.TypeRelationshipDependsOn, m.id())
	}
}

func relate(doc *spdx.Document, from spdx.ElementID, kind string, to spdx.ElementID) {
	doc.Relationships = append(doc.Relationships, &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: kind,
	})
}

func purlReference(purl string) *spdx.PackageExternalReference {
	return &spdx.PackageExternalReference{
		Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl,
	}
}

func sha256Checksum(value string) []spdx.Checksum {
	return []spdx.Checksum{{Algorithm: spdx.SHA256, Value: value}}
}
