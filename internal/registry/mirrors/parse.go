// SPDX-License-Identifier: Apache-2.0

package mirrors

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// maxBytes bounds the configuration.
const maxBytes = 256 << 10

// registryTable is the table of a registry: the content of containerd's hosts.toml.
type registryTable struct {
	hostTable
	Server string               `toml:"server"`
	Host   map[string]hostTable `toml:"host"`
}

// hostTable is the table of a host.
type hostTable struct {
	Capabilities texts `toml:"capabilities"`
	CA           texts `toml:"ca"`
	OverridePath bool  `toml:"override_path"`
}

// texts is a string, or a list of strings.
type texts []string

// UnmarshalTOML implements toml.Unmarshaler.
func (t *texts) UnmarshalTOML(value any) error {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, element := range list {
		text, ok := element.(string)
		if !ok || text == "" {
			return errors.New("each element of the list must be text in quotes, and not empty")
		}
		*t = append(*t, text)
	}
	return nil
}

// Parse parses the configuration. read reads the file of a certificate authority. Errors
// name the table, and what to change.
func Parse(content []byte, read func(path string) ([]byte, error)) (*Config, error) {
	if err := checkSize(string(content)); err != nil {
		return nil, err
	}
	// The decoder ignores the case of keys, and its errors about types have the keys: both
	// are checked before.
	meta, err := toml.Decode(string(content), new(map[string]any))
	if err != nil {
		return nil, fmt.Errorf("%w: the file must be TOML, %s", describeSyntax(err), tablesHint)
	}
	keys := meta.Keys()
	for _, key := range keys {
		if err := checkKey(key, meta.Type(key...)); err != nil {
			return nil, err
		}
	}
	tables := map[string]registryTable{}
	if _, err := toml.Decode(string(content), &tables); err != nil {
		return nil, describeSyntax(err)
	}
	config, order := &Config{registries: map[string][]entry{}}, orderOf(keys)
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if err := config.add(name, tables[name], order[name], read); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// describeSyntax returns an error of the decoder without the key, which may have a password.
func describeSyntax(err error) error {
	parse, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return errors.New("the file can't be decoded")
	}
	if redacted(parse.Message) != parse.Message {
		return fmt.Errorf("line %d is not valid", parse.Position.Line)
	}
	return fmt.Errorf("line %d: %s", parse.Position.Line, parse.Message)
}

// orderOf returns the addresses of each registry's hosts in the order of the file.
func orderOf(keys []toml.Key) map[string][]string {
	order, seen := map[string][]string{}, map[[2]string]bool{}
	for _, key := range keys {
		if len(key) < 3 || key[1] != "host" || seen[[2]string{key[0], key[2]}] {
			continue
		}
		seen[[2]string{key[0], key[2]}] = true
		order[key[0]] = append(order[key[0]], key[2])
	}
	return order
}

// add adds the table of a registry. The server is the last host, as in containerd.
func (c *Config) add(name string, table registryTable, order []string, read func(string) ([]byte, error)) error {
	registry := registryOf(name)
	if _, ok := transport.ParseHost(name); !ok && name != defaultRegistry {
		return fmt.Errorf("%s is not the table of a registry: write its host, such as %q, and its port if it has one",
			tableName(toml.Key{name}), "docker.io")
	}
	if _, found := c.registries[registry]; found {
		return fmt.Errorf("%s is another table of registry %s: merge the two", tableName(toml.Key{name}), namespaceOf(registry))
	}
	var entries []entry
	for _, address := range order {
		e, err := newEntry(registry, address, table.Host[address], read)
		if err == nil && !e.resolve && !e.pull {
			err = errors.New(`has only the capability "push", and the controller never pushes: add "pull" or "resolve", or remove the table`)
		}
		if err != nil {
			return fmt.Errorf("%s %w", tableName(toml.Key{name, "host", address}), err)
		}
		entries = append(entries, e)
	}
	server, err := newEntry(registry, table.Server, table.hostTable, read)
	if err != nil {
		return fmt.Errorf("%s %w", tableName(toml.Key{name}), err)
	}
	c.registries[registry] = append(entries, server)
	return nil
}

// newEntry returns the configuration of a host. Without an address, it is the origin. The
// texts of its errors continue the name of the table.
func newEntry(registry, address string, table hostTable, read func(string) ([]byte, error)) (entry, error) {
	e := entry{origin: address == ""}
	if err := e.setCapabilities(table.Capabilities); err != nil {
		return entry{}, err
	}
	if address != "" {
		if err := e.setAddress(address, table.OverridePath); err != nil {
			return entry{}, err
		}
		e.origin = registryOf(e.address) == registry && e.prefix == ""
	}
	switch {
	case e.origin && e.plainHTTP:
		return entry{}, fmt.Errorf("names its own registry as %q: write https://, and set spec.insecure of the ImageRepositories", address)
	case e.origin && table.CA != nil:
		return entry{}, errors.New(`has "ca" for its own registry: name the authority in spec.certSecretRef of the ImageRepositories`)
	case e.origin && address == "" && table.OverridePath:
		return entry{}, errors.New(`has "override_path" but no "server": remove it`)
	}
	return e, e.setAuthorities(table.CA, read)
}

// setCapabilities sets the capabilities, by default all. The controller never pushes.
func (e *entry) setCapabilities(names []string) error {
	e.resolve, e.pull = len(names) == 0, len(names) == 0
	for _, name := range names {
		switch strings.ToLower(name) {
		case "resolve":
			e.resolve = true
		case "pull":
			e.pull = true
		case "push":
		default:
			return fmt.Errorf("has the capability %q: write one or more of pull, resolve and push", redacted(name))
		}
	}
	return nil
}

// apiPath is the path of the API of the distribution specification.
const apiPath = "/v2"

// setAddress sets the host and the prefix of the repositories.
func (e *entry) setAddress(address string, overridePath bool) error {
	u, err := parseAddress(address)
	if err != nil {
		return err
	}
	prefix, err := prefixOf(u, overridePath)
	if err != nil {
		return err
	}
	e.address, e.prefix, e.plainHTTP = u.Host, prefix, u.Scheme == "http"
	if _, err := e.imageOf("library/alpine"); err != nil {
		return fmt.Errorf("has the path %q, which is not valid in names of images: %w", u.Path, err)
	}
	return nil
}

// parseAddress parses the URL of a host. As in containerd, the scheme may be left out.
func parseAddress(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	if redacted(address) != address {
		return nil, fmt.Errorf("has the address %q: write it without user and password: credentials are in spec.secretRef "+
			"of the ImageRepositories", redacted(address))
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("has the address %q: write only scheme, host, port and path, without query, such as "+
			"https://mirror.example.com", address)
	}
	host, ok := transport.ParseHost(u.Host)
	if !ok || len(host.Labels) == 1 && host.Port == "" && host.Labels[0] != "localhost" {
		return nil, fmt.Errorf("names the host %q: write a domain name, or add the port, as in https://mirror:443", address)
	}
	return u, nil
}

// prefixOf returns the prefix of the repositories at a URL, such as "dockerhub/". Without
// override_path, containerd appends /v2 to the path, so a prefix before it is refused.
func prefixOf(u *url.URL, overridePath bool) (string, error) {
	clean := path.Clean("/" + u.Path)
	suggest := func(prefix string) string {
		return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, path.Join(apiPath, prefix))
	}
	prefix, found := strings.CutPrefix(clean+"/", apiPath+"/")
	switch {
	case overridePath && !found:
		return "", fmt.Errorf("has the path %q with override_path: requests begin with %s/, write %s", u.Path, apiPath, suggest(clean))
	case !overridePath && clean != "/" && clean != apiPath:
		prefix = strings.TrimSuffix(strings.TrimPrefix(clean, apiPath+"/"), apiPath)
		return "", fmt.Errorf("has the path %q: write %s and override_path = true", u.Path, suggest(prefix))
	case !overridePath:
		return "", nil
	}
	return prefix, nil
}

// setAuthorities sets the certificate authorities, in addition to those of the system.
func (e *entry) setAuthorities(files []string, read func(string) ([]byte, error)) error {
	if len(files) == 0 {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // the container image may have no roots
	}
	hash := sha256.New()
	for _, file := range files {
		content, err := read(file)
		if err != nil {
			return fmt.Errorf("has a \"ca\" that can't be read: %w", err)
		}
		if !pool.AppendCertsFromPEM(content) {
			return fmt.Errorf("has the \"ca\" %q without any certificate in PEM form", file)
		}
		hash.Write(content)
	}
	e.transport = transport.Config{
		Key: fmt.Sprintf("mirror+%x", hash.Sum(nil)),
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
	}
	return nil
}
