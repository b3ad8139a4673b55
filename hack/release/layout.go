// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// layoutIndex is the index of images in an OCI layout:
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
type layoutIndex struct {
	Digest    string
	platforms map[string]string // digests by platform, such as linux/amd64
}

// descriptors is the part of an OCI index that is read here.
type descriptors struct {
	Manifests []struct {
		Digest   string
		Platform struct{ OS, Architecture string }
	}
}

// readLayout returns the only image index in a layout.
func readLayout(dir string) (layoutIndex, error) {
	outer, err := readIndex(filepath.Join(dir, "index.json"))
	if err != nil {
		return layoutIndex{}, err
	}
	if len(outer.Manifests) != 1 {
		return layoutIndex{}, fmt.Errorf("%s contains %d images: write it with hack/image, which writes one", dir, len(outer.Manifests))
	}
	found := layoutIndex{Digest: outer.Manifests[0].Digest, platforms: map[string]string{}}
	inner, err := readIndex(filepath.Join(dir, "blobs", strings.Replace(found.Digest, ":", "/", 1)))
	if err != nil {
		return layoutIndex{}, err
	}
	for _, image := range inner.Manifests {
		found.platforms[image.Platform.OS+"/"+image.Platform.Architecture] = image.Digest
	}
	return found, nil
}

func readIndex(file string) (descriptors, error) {
	var index descriptors
	content, err := os.ReadFile(file)
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(content, &index); err != nil {
		return index, fmt.Errorf("%s: %w", file, err)
	}
	return index, nil
}

// cutTag splits an image into its name and its tag.
func cutTag(image string) (string, string) {
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[:i], image[i+1:]
	}
	return image, ""
}
