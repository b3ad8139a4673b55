// SPDX-License-Identifier: Apache-2.0

// Package demo holds what the samples in config/samples are shown with: the
// images that are pushed, and what each sample must come to.
package demo

import (
	"context"
	"fmt"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// Image is an image to push.
type Image struct {
	// Repository is its name in the registry.
	Repository string
	// Tag is its tag.
	Tag string
	// Content is what makes its digest differ from others. The tag, if empty.
	Content string
	// Architectures makes it an index of one image for each.
	Architectures []string
}

// Reference is the repository and the tag.
func (i Image) Reference() string { return i.Repository + ":" + i.Tag }

// Artifact makes the image.
func (i Image) Artifact() (stage.Artifact, error) {
	content := i.Repository + " " + i.Content
	if i.Content == "" {
		content = i.Reference()
	}
	if len(i.Architectures) > 0 {
		return stage.Index(content, i.Architectures...)
	}
	return stage.Image(content)
}

// newestBuild is what webapp:latest is pushed with, too.
const newestBuild = "main-0c5d8e1-1767398400"

// Images are the images of the samples. Each list is in another order than the
// one that its policy must find.
var Images = []Image{
	{Repository: "podinfo", Tag: "1.0.0"},
	{Repository: "podinfo", Tag: "1.10.0", Architectures: []string{"amd64", "arm64"}},
	{Repository: "podinfo", Tag: "1.10.0-debug"},
	{Repository: "podinfo", Tag: "1.9.0"},
	{Repository: "podinfo", Tag: "2.0.0-rc.1"},
	{Repository: "podinfo", Tag: "sha256-6d7a2b7d6a1c5b0f1f0e9f5f4f8c0f7a3f1f2d6f5b9d8b1f2a3c4d5e6f708192.sig"},

	{Repository: "webapp", Tag: "main-9b0e7d3-1767225600"},
	{Repository: "webapp", Tag: newestBuild, Content: newestBuild},
	{Repository: "webapp", Tag: "main-4f1c2aa-1767312000"},
	{Repository: "webapp", Tag: "login-page-7aa2e90-1767484800"},
	{Repository: "webapp", Tag: "latest", Content: newestBuild},

	{Repository: "warehouse", Tag: "RELEASE.2026-03-01T08-30-00Z"},
	{Repository: "warehouse", Tag: "RELEASE.2026-05-01T10-00-00Z"},
	{Repository: "warehouse", Tag: "nightly"},

	{Repository: "billing", Tag: "v1.9.4"},
	{Repository: "billing", Tag: "v2.3.1"},
	{Repository: "billing", Tag: "v2.0.0"},
	{Repository: "billing", Tag: "v3.0.0-beta.1"},
}

// Private reports whether a repository is in the registry that asks for a
// password.
func Private(repository string) bool { return repository == "billing" }

// Push pushes the images, and returns their digests by reference.
func Push(ctx context.Context, push func(context.Context, Image, stage.Artifact) (string, error)) (map[string]string, error) {
	digests := make(map[string]string, len(Images))
	for _, image := range Images {
		artifact, err := image.Artifact()
		if err != nil {
			return nil, fmt.Errorf("%s could not be made: %w", image.Reference(), err)
		}
		if digests[image.Reference()], err = push(ctx, image, artifact); err != nil {
			return nil, err
		}
	}
	return digests, nil
}
