// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"cmp"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// The errors of a docker config. Their texts continue the Secret's name. They do not quote
// the config, because any misplaced part of it may be secret.
var (
	errNoDockerConfig  = errors.New("has no key " + corev1.DockerConfigJsonKey)
	errMalformedConfig = errors.New("holds a docker config that is not valid JSON of the expected form")
	errMalformedEntry  = errors.New("holds a docker config whose entry for the registry is malformed")
)

// dockerConfig has the entries of a docker config file by registry. Only matching entries
// are decoded, so that a malformed entry does not affect other registries.
type dockerConfig map[string]json.RawMessage

// dockerConfigOf returns the docker config in a Secret, in the format of
// ~/.docker/config.json or the older one of ~/.dockercfg, which is only the content of
// "auths". The format depends on the key, not on the Secret's type.
func dockerConfigOf(secret *corev1.Secret) (dockerConfig, error) {
	if data, found := secret.Data[corev1.DockerConfigJsonKey]; found {
		return parseDockerConfig(data)
	}
	if data, found := secret.Data[corev1.DockerConfigKey]; found {
		var config dockerConfig
		if err := json.Unmarshal(data, &config); err != nil {
			return nil, errMalformedConfig
		}
		return config, nil
	}
	return nil, errNoDockerConfig
}

// parseDockerConfig parses the content of a ~/.docker/config.json.
func parseDockerConfig(data []byte) (dockerConfig, error) {
	var file struct {
		Auths dockerConfig `json:"auths"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, errMalformedConfig
	}
	return file.Auths, nil
}

// dockerMatch is the entry of a docker config that matches an image.
type dockerMatch struct {
	key         registryKey
	credentials authn.AuthConfig
}

// find returns the credentials of the most specific entry for an image, and whether there
// are any. Entries without credentials are ignored: "docker login" writes them if it stores
// the credentials in a credential store.
func (c dockerConfig) find(img image.Name) (dockerMatch, bool, error) {
	for _, key := range c.covering(img) {
		credentials, err := parseDockerEntry(c[key.name])
		if err != nil {
			return dockerMatch{}, false, err
		}
		if credentials != (authn.AuthConfig{}) {
			return dockerMatch{key: key, credentials: credentials}, true, nil
		}
	}
	return dockerMatch{}, false, nil
}

// covering returns the keys that cover an image, the most specific first. Equivalent keys
// are ordered by their names, so that the result is deterministic. A Secret may have some
// 100,000 entries, so each name is parsed once.
func (c dockerConfig) covering(img image.Name) []registryKey {
	var keys []registryKey
	for name := range c {
		if key := parseRegistryKey(name); key.covers(img) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b registryKey) int { return cmp.Or(a.compare(b), strings.Compare(a.name, b.name)) })
	return keys
}

// parseDockerEntry decodes an entry with go-containerregistry: "auth" takes precedence over
// username and password, as in docker and the kubelet.
func parseDockerEntry(data json.RawMessage) (authn.AuthConfig, error) {
	var entry authn.AuthConfig
	if err := json.Unmarshal(data, &entry); err != nil {
		return authn.AuthConfig{}, errMalformedEntry
	}
	entry.Auth = "" // the library has decoded it to the username and the password
	return entry, nil
}

// registryKey is the parsed name of an entry of a docker config: a registry, or a path in
// one. Its host may have globs, which match as in the kubelet
// (k8s.io/kubernetes/pkg/credentialprovider, URLsMatch).
type registryKey struct {
	name   string   // as in the config
	labels []string // patterns of path.Match, in lower case; nil matches nothing
	port   string
	path   string // without slashes at its ends, "" for the complete registry
	globs  int    // number of globs in the host
}

// parseRegistryKey parses the name of an entry: "ghcr.io", "ghcr.io/org",
// "*.dkr.ecr.*.amazonaws.com", or a URL such as "https://index.docker.io/v1/", whose
// path is an API version and not a part of image names.
func parseRegistryKey(name string) registryKey {
	host, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://"), "/")
	path = strings.Trim(path, "/")
	if version, rest, _ := strings.Cut(path, "/"); version == "v1" || version == "v2" {
		path = rest
	}
	key := registryKey{name: name, path: path}
	// A glob matches a part of a label, so the host is validated with a letter in place
	// of each glob.
	if parsed, ok := transport.ParseHost(globs.Replace(host)); ok {
		key.labels, key.port = parsed.Labels, parsed.Port
		if key.globs = strings.Count(host, "*") + strings.Count(host, "?"); key.globs > 0 {
			key.labels = strings.Split(strings.ToLower(strings.TrimSuffix(host, ":"+key.port)), ".")
		}
	}
	return key
}

// globs replaces globs by a letter. Ranges in brackets are not supported, because they are
// ambiguous with IPv6 addresses.
var globs = strings.NewReplacer("*", "x", "?", "x")

// compare orders keys from the most to the least specific: by the length of their
// path, the longest first, and then by the number of globs.
func (k registryKey) compare(other registryKey) int {
	return cmp.Or(len(other.path)-len(k.path), k.globs-other.globs)
}

// covers reports whether the key matches an image. Hosts are compared by labels, and
// paths by elements: "ghcr.io/org" covers neither "ghcr.io.example.com/org" nor
// "ghcr.io/organisation", and "*.io" covers no host of three labels.
func (k registryKey) covers(img image.Name) bool {
	host, ok := transport.ParseHost(img.Host())
	if !ok || k.port != host.Port || !slices.EqualFunc(k.labels, host.Labels, matchGlob) {
		return false
	}
	repository := img.Repository().RepositoryStr()
	return k.path == "" || k.path == repository || strings.HasPrefix(repository, k.path+"/")
}

func matchGlob(pattern, label string) bool {
	matched, err := path.Match(pattern, label)
	return pattern == label || err == nil && matched
}
