// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Environment variables with the paths of the programs. The Makefile sets them for tests.
const (
	AssetsVariable     = "KUBEBUILDER_ASSETS"
	RegistryVariable   = "REGISTRY"
	ControllerVariable = "CONTROLLER"
)

// Binaries are the paths of the programs.
type Binaries struct {
	// Assets is the folder of etcd and kube-apiserver, and in make test also of kubectl.
	Assets string
	// Registry is the path of the registry (CNCF Distribution).
	Registry string
	// Controller is the path of the image-reflector-controller.
	Controller string
}

// BinariesFromEnv returns the programs from the environment. If one is missing, the error
// explains how to build it.
func BinariesFromEnv() (Binaries, error) {
	binaries := Binaries{
		Assets:     os.Getenv(AssetsVariable),
		Registry:   os.Getenv(RegistryVariable),
		Controller: os.Getenv(ControllerVariable),
	}
	if err := errors.Join(
		check(AssetsVariable, binaries.Assets, "etcd", "kube-apiserver"),
		check(RegistryVariable, binaries.Registry, ""),
		check(ControllerVariable, binaries.Controller, ""),
	); err != nil {
		return Binaries{}, fmt.Errorf(`%w
This starts real programs, which make builds: run "make test", or
	make controlplane bin/registry build
	export %s="$(go -C hack/controlplane run . path -bin "$PWD/bin")"
	export %s="$PWD/bin/registry" %s="$PWD/bin/image-reflector-controller"
in the root of the repository, and try again`, err, AssetsVariable, RegistryVariable, ControllerVariable)
	}
	return binaries, nil
}

// check returns an error if the variable is not set, or if a file below its path is missing.
func check(variable, path string, files ...string) error {
	if path == "" {
		return fmt.Errorf("%s is not set", variable)
	}
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(path, file)); err != nil {
			return fmt.Errorf("%s is '%s': %w", variable, path, err)
		}
	}
	return nil
}

// Root returns the root of this repository: the folder at or above the working
// directory whose go.mod is the operator's.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module github.com/fluxcd/image-reflector-controller\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the working directory is not in the repository of the image-reflector-controller")
		}
		dir = parent
	}
}
