// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	program     = "/usr/local/bin/image-reflector-controller"
	licenseFile = "/licenses/LICENSE"
	// user is a number, so that runAsNonRoot can be checked.
	user = "65532:65532"
)

// binary is the program for one architecture.
type binary struct {
	architecture, file string
}

// contents is all that an image depends on.
type contents struct {
	version, commit string
	created         time.Time
	license         string // a path
	binaries        []binary
}

// annotations describe the image, its index and its configuration.
func (c *contents) annotations() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       "image-reflector-controller",
		prefix + "description": "Scans image repositories and selects the latest images",
		prefix + "licenses":    "Apache-2.0",
		prefix + "version":     c.version,
		prefix + "revision":    c.commit,
		prefix + "created":     c.created.Format(time.RFC3339),
	}
}

// index returns one image for each binary. A file that can't be read is an
// error.
func (c *contents) index() (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range c.binaries {
		image, err := c.image(b)
		if err != nil {
			return nil, fmt.Errorf("the image for %s can't be made: %w", b.architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: b.architecture}},
		})
	}
	return mutate.Annotations(index, c.annotations()).(v1.ImageIndex), nil
}

func (c *contents) image(b binary) (v1.Image, error) {
	layer, err := c.layer(b)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: c.created}, CreatedBy: "hack/image"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", b.architecture
	config.Created = v1.Time{Time: c.created}
	config.Config = v1.Config{
		User:         user,
		Entrypoint:   []string{program},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9440/tcp": {}},
		Labels:       c.annotations(),
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, c.annotations()).(v1.Image), nil
}

// layer returns the one layer: the program and the licence, owned by root, which is not the user that the program runs as.
func (c *contents) layer(b binary) (v1.Layer, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, entry := range []struct {
		name, source string // a folder has no source
		mode         int64
	}{
		{"licenses/", "", 0o755},
		{licenseFile, c.license, 0o644},
		{"usr/", "", 0o755},
		{"usr/local/", "", 0o755},
		{"usr/local/bin/", "", 0o755},
		{program, b.file, 0o755},
	} {
		var content []byte
		if entry.source != "" {
			var err error
			if content, err = os.ReadFile(entry.source); err != nil {
				return nil, err
			}
		}
		// A name that ends with a slash is that of a folder.
		header := &tar.Header{Name: strings.TrimPrefix(entry.name, "/"), Mode: entry.mode, Size: int64(len(content)), ModTime: c.created}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
