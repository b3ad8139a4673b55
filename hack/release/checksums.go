// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// checksumsFile is the name of the file with the checksums of all others.
const checksumsFile = "checksums.txt"

// file is a file of the release.
type file struct {
	name, sha256 string
	size         int64
}

// files returns the files that exist, sorted by name.
func (r *release) files() ([]file, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		checksum, err := sha256Of(r.path(entry.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: entry.Name(), sha256: checksum, size: info.Size()})
	}
	return files, nil
}

// writeChecksums writes the checksums of all files in the format of sha256sum.
func (r *release) writeChecksums() error {
	files, err := r.files()
	if err != nil {
		return err
	}
	return r.write(checksumsFile, func(out io.Writer) error {
		for _, f := range files {
			if _, err := fmt.Fprintf(out, "%s  %s\n", f.sha256, f.name); err != nil {
				return err
			}
		}
		return nil
	})
}

// summarize prints the sizes of all files, and the image.
func (r *release) summarize(out io.Writer) error {
	index, err := readLayout(r.layout)
	if err != nil {
		return err
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintf(out, "%8.1f KiB  %s\n", float64(f.size)/(1<<10), f.name)
	}
	fmt.Fprintf(out, "image %s@%s\n", r.image, index.Digest)
	return nil
}

func sha256Of(path string) (string, error) {
	content, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer content.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
