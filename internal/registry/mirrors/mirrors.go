// SPDX-License-Identifier: Apache-2.0

// Package mirrors has the registry hosts from which the images of other registries are
// read. They are configured in a file in the format of containerd's hosts.toml, with a
// table per registry (https://github.com/containerd/containerd/blob/main/docs/hosts.md).
package mirrors

import (
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Host is a registry host from which an image repository can be read.
type Host struct {
	// Image is the name of the image repository at this host.
	Image image.Name
	// Origin means that the host is the one in the name of the image.
	Origin bool
	// Resolve and Pull are the capabilities of the host: Resolve is for tags and their
	// lists, Pull for content by its digest.
	Resolve, Pull bool
	// Namespace is the registry in the name of the image. A mirror of several registries
	// gets it in the query parameter ns.
	Namespace string
	// Transport has the certificate authorities of the host.
	Transport transport.Config
}

// Config has the mirrors of registries. The zero value has none.
type Config struct {
	registries map[string][]entry // by the name of the registry, or defaultRegistry
}

// entry is the configuration of a host, for all images of a registry.
type entry struct {
	origin        bool
	address       string // host and port, if it is not the origin
	prefix        string // of repositories, such as "dockerhub/"
	plainHTTP     bool
	resolve, pull bool
	transport     transport.Config
}

// defaultRegistry is the table for registries without a table.
const defaultRegistry = "_default"

// Hosts returns the hosts of an image repository in the order in which they are tried. It
// returns nil if the registry has no table. It leaves out a host at which the name of the
// repository is not valid, because it is too long. If no host is left, it returns an empty
// slice.
func (c *Config) Hosts(img image.Name) []Host {
	if c == nil || len(c.registries) == 0 {
		return nil
	}
	registry := registryOf(img.Host())
	entries, found := c.registries[registry]
	if !found {
		if entries, found = c.registries[defaultRegistry]; !found {
			return nil
		}
	}
	hosts := make([]Host, 0, len(entries))
	for _, e := range entries {
		host := Host{Image: img, Origin: true, Resolve: e.resolve, Pull: e.pull}
		if !e.origin {
			mirrored, err := e.imageOf(img.Repository().RepositoryStr())
			if err != nil {
				continue
			}
			// Below _default, the image may be one of the mirror itself.
			if host.Origin = mirrored.Canonical() == img.Canonical(); !host.Origin {
				host.Image, host.Namespace, host.Transport = mirrored, namespaceOf(registry), e.transport
			}
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// imageOf returns the name of an image repository at the host.
func (e entry) imageOf(repository string) (image.Name, error) {
	return image.Parse(e.address+"/"+e.prefix+repository, e.plainHTTP)
}

// registryOf returns the name of the table of a registry host.
func registryOf(host string) string {
	return strings.TrimSuffix(transport.CanonicalHost(host), ":443")
}

// namespaceOf returns the registry as containerd sends it to mirrors.
func namespaceOf(registry string) string {
	if registry == dockerHub {
		return "docker.io"
	}
	return registry
}

// dockerHub is the canonical name of Docker Hub.
var dockerHub = transport.CanonicalHost("docker.io")
