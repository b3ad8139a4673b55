// SPDX-License-Identifier: Apache-2.0

// Command release writes the files of a release that make can't write itself: the archives of the
// plugin and their manifests for krew and flux, the archive of the image, SBOM, provenance and
// checksums. The same input results in the same bytes.
//
//	release -version v1.0.0 -commit abc -created 1700000000 -dir FOLDER -image-layout FOLDER PROGRAM/OS/ARCH=FILE...
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// The programs of a release.
const (
	controller = "image-reflector-controller"
	plugin     = "flux-imagepolicy"
)

// release is what the files are made from.
type release struct {
	version, commit, builder  string
	created                   time.Time
	repository, url, image    string // where users find the sources, the files and the image
	dir                       string // the folder of the files
	layout, license, licenses string // paths
	goVersion                 string // of all programs
	programs                  []program
}

// program is a binary for a platform, with the modules that are linked into it.
type program struct {
	name, os, arch, file string
	modules              []module
}

// number returns the version as file names and flux have it: without the v.
func (r *release) number() string { return strings.TrimPrefix(r.version, "v") }

// path returns the path of a file of the release.
func (r *release) path(name string) string { return filepath.Join(r.dir, name) }

func run(args []string, out io.Writer) error {
	r, err := parse(args)
	if err != nil {
		return err
	}
	for _, write := range []func() error{
		r.writeArchives, r.writeManifests, r.writeImage, r.writeSBOM, r.writeProvenance, r.writeChecksums,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return r.summarize(out)
}

func parse(args []string) (*release, error) {
	r := &release{}
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&r.version, "version", "", "the version, such as v1.0.0")
	flags.StringVar(&r.commit, "commit", "", "the commit from which the programs were built")
	flags.StringVar(&r.builder, "builder", "", "the URI of the build platform, for the provenance")
	flags.StringVar(&r.repository, "repository", "", "the URL of the repository")
	flags.StringVar(&r.url, "url", "", "the URL of the folder from which users download the files")
	flags.StringVar(&r.image, "image", "", "the image, with its tag")
	flags.StringVar(&r.dir, "dir", "", "the folder of the files, which contains the manifests and the notes")
	flags.StringVar(&r.layout, "image-layout", "", "the folder with the OCI layout of the image")
	flags.StringVar(&r.license, "license", "LICENSE", "the file of the licence")
	flags.StringVar(&r.licenses, "licenses", "", "the file with the licences of the linked modules, as written by hack/licenses")
	created := flags.Int64("created", 0, "the time of the commit, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var missing error
	flags.VisitAll(func(f *flag.Flag) {
		if f.Value.String() == "" {
			missing = errors.Join(missing, fmt.Errorf("set -%s: %s", f.Name, f.Usage))
		}
	})
	if missing != nil {
		return nil, missing
	}
	r.created = time.Unix(*created, 0).UTC()
	return r, r.readPrograms(flags.Args())
}

// readPrograms reads the modules of programs, which are given as NAME/OS/ARCH=FILE.
func (r *release) readPrograms(args []string) error {
	for _, arg := range args {
		key, file, _ := strings.Cut(arg, "=")
		parts := strings.Split(key, "/")
		if len(parts) != 3 || file == "" {
			return fmt.Errorf("%q is not a program: write it as %s/linux/amd64=FILE", arg, plugin)
		}
		modules, err := r.readModules(file)
		if err != nil {
			return err
		}
		r.programs = append(r.programs, program{name: parts[0], os: parts[1], arch: parts[2], file: file, modules: modules})
	}
	if len(r.of(plugin)) == 0 || len(r.of(controller)) == 0 {
		return fmt.Errorf("write at least one %s/OS/ARCH=FILE and one %s/OS/ARCH=FILE", controller, plugin)
	}
	return nil
}

// of returns the binaries of a program.
func (r *release) of(name string) []program {
	var found []program
	for _, p := range r.programs {
		if p.name == name {
			found = append(found, p)
		}
	}
	return found
}
