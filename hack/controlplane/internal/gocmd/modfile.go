// SPDX-License-Identifier: Apache-2.0

package gocmd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// Module is a module path, with a version where one is meant.
type Module struct {
	Path    string
	Version string
}

// Replace is one replace directive.
type Replace struct {
	Old, New Module
}

// ModFile is what is read off a go.mod.
type ModFile struct {
	Require []Module
	Replace []Replace
}

// ReadModFile parses a go.mod. The go command does it, so that this module depends on nothing.
func ReadModFile(ctx context.Context, path string) (ModFile, error) {
	out, err := Output(ctx, filepath.Dir(path), "mod", "edit", "-json", path)
	if err != nil {
		return ModFile{}, err
	}
	var file ModFile
	if err := json.Unmarshal([]byte(out), &file); err != nil {
		return ModFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// Version returns the version at which a go.mod requires a module.
func (f ModFile) Version(module string) (string, error) {
	for _, required := range f.Require {
		if required.Path == module {
			return required.Version, nil
		}
	}
	return "", fmt.Errorf("go.mod does not require %s", module)
}
