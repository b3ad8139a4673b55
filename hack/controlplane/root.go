// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// moduleFolder is where this module lives, seen from the root of the repository.
var moduleFolder = filepath.Join("hack", "controlplane")

// findRoot walks up from a folder to the root of the repository, so that the command works from any folder of it.
func findRoot(from string) (string, error) {
	for dir := from; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, moduleFolder, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no %s in %s or above: run this inside the repository", moduleFolder, from)
		}
	}
}
