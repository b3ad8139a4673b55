// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// provenanceFile is the name of the statement, which is not signed.
const provenanceFile = "provenance.intoto.json"

// writeProvenance writes a statement with the predicate https://slsa.dev/provenance/v1 about all
// files and the image. It has no times and no ID of the build, which would differ in each.
func (r *release) writeProvenance() error {
	subjects, err := r.subjects()
	if err != nil {
		return err
	}
	definition, err := r.buildDefinition()
	if err != nil {
		return err
	}
	predicate := &provenance.Provenance{
		BuildDefinition: definition,
		RunDetails:      &provenance.RunDetails{Builder: &provenance.Builder{Id: r.builder}},
	}
	if err := predicate.Validate(); err != nil {
		return err
	}
	statement := &intoto.Statement{
		Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: "https://slsa.dev/provenance/v1", Predicate: &structpb.Struct{},
	}
	if err := convert(predicate, statement.Predicate); err != nil {
		return err
	}
	if err := statement.Validate(); err != nil {
		return err
	}
	encoded, err := protojson.Marshal(statement)
	if err != nil {
		return err
	}
	return r.write(provenanceFile, func(out io.Writer) error {
		// protojson adds random spaces, so that its output is not compared
		var indented bytes.Buffer
		if err := json.Indent(&indented, encoded, "", " "); err != nil {
			return err
		}
		_, err := out.Write(append(indented.Bytes(), '\n'))
		return err
	})
}

// subjects returns the files that exist, and the image.
func (r *release) subjects() ([]*intoto.ResourceDescriptor, error) {
	index, err := readLayout(r.layout)
	if err != nil {
		return nil, err
	}
	name, _ := cutTag(r.image)
	subjects := []*intoto.ResourceDescriptor{{Name: name, Digest: map[string]string{"sha256": index.Digest[len("sha256:"):]}}}
	files, err := r.files()
	for _, f := range files {
		subjects = append(subjects, &intoto.ResourceDescriptor{Name: f.name, Digest: map[string]string{"sha256": f.sha256}})
	}
	return subjects, err
}

// buildDefinition returns what the files are built from. docs/release.md describes its parameters.
func (r *release) buildDefinition() (*provenance.BuildDefinition, error) {
	source := "git+" + r.repository + "@refs/tags/" + r.version
	platforms := map[string][]any{}
	for _, p := range r.programs {
		platforms[p.name] = append(platforms[p.name], p.os+"/"+p.arch)
	}
	external, err := structpb.NewStruct(map[string]any{
		"source": source, "version": r.version, "image": r.image, "url": r.url,
		"imagePlatforms": platforms[controller], "pluginPlatforms": platforms[plugin],
	})
	if err != nil {
		return nil, err
	}
	internal, err := structpb.NewStruct(map[string]any{"go": r.goVersion})
	if err != nil {
		return nil, err
	}
	dependencies := []*intoto.ResourceDescriptor{{Uri: source, Digest: map[string]string{"gitCommit": r.commit}}}
	for _, m := range r.union() {
		dependency := &intoto.ResourceDescriptor{Uri: m.purl()}
		if m.hash != "" {
			dependency.Digest = map[string]string{"dirHash": m.hash}
		}
		dependencies = append(dependencies, dependency)
	}
	return &provenance.BuildDefinition{
		BuildType: r.repository + "/blob/main/docs/release.md#provenance", ExternalParameters: external, InternalParameters: internal,
		ResolvedDependencies: dependencies,
	}, nil
}

// convert converts a message to the generic form that a statement contains.
func convert(message *provenance.Provenance, to *structpb.Struct) error {
	encoded, err := protojson.Marshal(message)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(encoded, to)
}
