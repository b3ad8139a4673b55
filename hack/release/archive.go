// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"testing/fstest"
)

// notices is the name of the file with the licences of third-party software, which must be
// distributed with each binary.
const notices = "THIRD_PARTY_NOTICES.txt"

// archive returns the name of the archive with the plugin for a platform.
func (r *release) archive(p program) string {
	extension := "tar.gz"
	if p.os == "windows" {
		extension = "zip"
	}
	return fmt.Sprintf("%s_%s_%s_%s.%s", plugin, r.number(), p.os, p.arch, extension)
}

// binary returns the name of the plugin in its archive.
func (p program) binary() string {
	if p.os == "windows" {
		return plugin + ".exe"
	}
	return plugin
}

// writeArchives writes an archive of the plugin for each platform.
func (r *release) writeArchives() error {
	for _, p := range r.of(plugin) {
		files := fstest.MapFS{}
		for _, file := range []struct {
			name, source string
			mode         fs.FileMode
		}{{p.binary(), p.file, 0o755}, {"LICENSE", r.license, 0o644}, {notices, r.path(notices), 0o644}} {
			content, err := os.ReadFile(file.source)
			if err != nil {
				return err
			}
			files[file.name] = &fstest.MapFile{Data: content, Mode: file.mode, ModTime: r.created}
		}
		write := writeTarGz
		if p.os == "windows" {
			write = writeZip
		}
		if err := r.write(r.archive(p), func(out io.Writer) error { return write(out, files) }); err != nil {
			return err
		}
	}
	return nil
}

// writeImage writes the OCI layout of the image as an archive, which skopeo, podman and oras read.
func (r *release) writeImage() error {
	source, files := os.DirFS(r.layout), fstest.MapFS{}
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			files[name] = &fstest.MapFile{Mode: fs.ModeDir | 0o755, ModTime: r.created}
			return nil
		}
		content, err := fs.ReadFile(source, name)
		files[name] = &fstest.MapFile{Data: content, Mode: 0o644, ModTime: r.created}
		return err
	})
	if err != nil {
		return err
	}
	return r.write(fmt.Sprintf("%s_%s_oci.tar", controller, r.number()), func(out io.Writer) error { return writeTar(out, files) })
}

// write writes a file of the release.
func (r *release) write(name string, content func(io.Writer) error) error {
	file, err := os.Create(r.path(name))
	if err != nil {
		return err
	}
	if err := errors.Join(content(file), file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

func writeTar(out io.Writer, files fs.FS) error {
	archive := tar.NewWriter(out)
	return errors.Join(archive.AddFS(files), archive.Close())
}

func writeTarGz(out io.Writer, files fs.FS) error {
	compressed := gzip.NewWriter(out)
	return errors.Join(writeTar(compressed, files), compressed.Close())
}

func writeZip(out io.Writer, files fs.FS) error {
	archive := zip.NewWriter(out)
	return errors.Join(archive.AddFS(files), archive.Close())
}
