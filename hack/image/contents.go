// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing/fstest"
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

// contents are the inputs of an image.
type contents struct {
	version, commit string
	created         time.Time
	license         string   // path
	binaries        []string // such as "amd64=bin/amd64"
}

// annotations returns the annotations of image and index, which are also the labels of the image.
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

// index returns an index with one image for each binary.
func (c *contents) index() (v1.ImageIndex, error) {
	if len(c.binaries) == 0 {
		return nil, errors.New("no binary is given: write amd64=FILE for each architecture")
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, binary := range c.binaries {
		architecture, file, found := strings.Cut(binary, "=")
		if !found || architecture == "" || file == "" {
			return nil, fmt.Errorf("%q is not a binary: write it as amd64=FILE", binary)
		}
		image, err := c.image(architecture, file)
		if err != nil {
			return nil, fmt.Errorf("creating the image for %s: %w", architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return mutate.Annotations(index, c.annotations()).(v1.ImageIndex), nil
}

func (c *contents) image(architecture, file string) (v1.Image, error) {
	layer, err := c.layer(file)
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: c.created}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS:           "linux",
		Architecture: architecture,
		Created:      created,
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:         user,
			Entrypoint:   []string{program},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9440/tcp": {}},
			Labels:       c.annotations(),
		},
	})
	if err != nil {
		return nil, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image = mutate.Annotations(image, c.annotations()).(v1.Image)
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "hack/image"}})
}

// layer returns the only layer: the program and the licence, owned by root, while the program runs
// as another user.
func (c *contents) layer(binary string) (v1.Layer, error) {
	files := fstest.MapFS{}
	for _, folder := range []string{"licenses", "usr", "usr/local", "usr/local/bin"} {
		files[folder] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: c.created}
	}
	for _, file := range []struct {
		name, source string
		mode         fs.FileMode
	}{{licenseFile, c.license, 0o644}, {program, binary, 0o755}} {
		content, err := os.ReadFile(file.source)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(file.name, "/")] = &fstest.MapFile{Data: content, Mode: file.mode, ModTime: c.created}
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := errors.Join(writer.AddFS(files), writer.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
