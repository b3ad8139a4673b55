// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"

	"sigs.k8s.io/yaml"
)

// What users read about the plugin. Its name is that of the command: "kubectl imagepolicy", "flux
// imagepolicy".
const (
	pluginName  = "imagepolicy"
	summary     = "Explain which image a Flux ImagePolicy selects"
	description = `Prints which image an ImagePolicy selects, which candidates rank behind it, and why each of
the other tags is rejected. It reads the policy from the cluster or from files.
`
	caveats = `For completion, link the plugin in your PATH:
  ln -s "$(command -v kubectl-imagepolicy)" /usr/local/bin/kubectl_complete-imagepolicy
`
)

// The names of the manifests. flux requests the name of the plugin below the URL of its catalog, so
// the files of a release are such a catalog.
const (
	krewManifest = "krew.yaml"
	fluxManifest = pluginName + ".yaml"
)

// krewPlugin is the manifest of krew: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest
type krewPlugin struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       krewSpec          `json:"spec"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Caveats          string         `json:"caveats"`
	Platforms        []krewPlatform `json:"platforms"`
}

type krewPlatform struct {
	Selector map[string]map[string]string `json:"selector"`
	URI      string                       `json:"uri"`
	SHA256   string                       `json:"sha256"`
	// Bin is the path of the plugin below the folder to which krew extracts all files of the archive.
	Bin string `json:"bin"`
}

// fluxPlugin is the manifest of flux: github.com/fluxcd/flux2/v2/pkg/plugin,
// https://github.com/fluxcd/flux2/blob/main/rfcs/0013-cli-plugin-system/README.md
type fluxPlugin struct {
	APIVersion  string        `json:"apiVersion"`
	Kind        string        `json:"kind"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Homepage    string        `json:"homepage"`
	Source      string        `json:"source"`
	Bin         string        `json:"bin"`
	Versions    []fluxVersion `json:"versions"`
}

type fluxVersion struct {
	Version   string         `json:"version"`
	Platforms []fluxPlatform `json:"platforms"`
}

type fluxPlatform struct {
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	URL      string `json:"url"`
	Checksum string `json:"checksum"`
}

// writeManifests writes the manifests of the plugin for krew and flux.
func (r *release) writeManifests() error {
	homepage := r.repository + "/blob/" + r.version + "/docs/guides/explain.md"
	krew := krewPlugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: map[string]string{"name": pluginName},
		Spec: krewSpec{Version: r.version, Homepage: homepage, ShortDescription: summary, Description: description, Caveats: caveats},
	}
	version := fluxVersion{Version: r.number()}
	for _, p := range r.of(plugin) {
		url := r.url + "/" + r.archive(p)
		checksum, err := sha256Of(r.path(r.archive(p)))
		if err != nil {
			return err
		}
		krew.Spec.Platforms = append(krew.Spec.Platforms, krewPlatform{
			Selector: map[string]map[string]string{"matchLabels": {"os": p.os, "arch": p.arch}},
			URI:      url, SHA256: checksum, Bin: p.binary(),
		})
		version.Platforms = append(version.Platforms, fluxPlatform{OS: p.os, Arch: p.arch, URL: url, Checksum: "sha256:" + checksum})
	}
	flux := fluxPlugin{
		APIVersion: "cli.fluxcd.io/v1beta1", Kind: "Plugin", Name: pluginName, Description: summary, Homepage: homepage,
		Source: r.repository, Bin: plugin, Versions: []fluxVersion{version},
	}
	if err := r.writeYAML(krewManifest, krew); err != nil {
		return err
	}
	return r.writeYAML(fluxManifest, flux)
}

func (r *release) writeYAML(name string, content any) error {
	return r.write(name, func(out io.Writer) error {
		encoded, err := yaml.Marshal(content)
		if err != nil {
			return err
		}
		_, err = out.Write(encoded)
		return err
	})
}
