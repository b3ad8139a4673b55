// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

// Registry is a registry of CNCF Distribution that keeps images in a folder.
// Its images and its address outlive Stop and Kill: Start brings both back.
type Registry struct {
	// Binary is the program.
	Binary string
	// Dir is where everything is kept that it writes.
	Dir string
	// Username and Password are demanded of everyone, where they are set.
	Username, Password string

	program
	addr string
}

// RegistryAt returns a registry that somebody else runs.
func RegistryAt(host, username, password string) *Registry {
	return &Registry{addr: host, Username: username, Password: password}
}

// Start starts the registry, and returns when it answers.
func (r *Registry) Start(ctx context.Context) error {
	config, err := r.writeConfig()
	if err != nil {
		return err
	}
	logFile := filepath.Join(r.Dir, "registry.log")
	offset := size(logFile)
	c := command{
		binary:  r.Binary,
		args:    []string{"serve", config},
		env:     []string{"OTEL_TRACES_EXPORTER=none"}, // or else it looks for a collector on this machine
		logFile: logFile,
	}
	return r.launch(ctx, c, func(ctx context.Context) error {
		if r.addr == "" {
			r.addr = listeningOn(logFile, offset)
		}
		return r.answers(ctx)
	})
}

// Host is the host and port to name in images, known once it was started.
func (r *Registry) Host() string { return r.addr }

// Image returns the full name of an image, such as "podinfo:1.0.0".
func (r *Registry) Image(reference string) string { return r.addr + "/" + reference }

// Artifact is an image or an index of images.
type Artifact interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// Push pushes the image or index to a reference such as "podinfo:1.0.0", and
// returns its digest.
func (r *Registry) Push(ctx context.Context, reference string, artifact Artifact) (string, error) {
	options := crane.GetOptions(r.options(ctx)...)
	ref, err := name.ParseReference(r.Image(reference), options.Name...)
	if err != nil {
		return "", err
	}
	if err := remote.Push(ref, artifact, options.Remote...); err != nil {
		return "", fmt.Errorf("%s could not be pushed: %w", ref, err)
	}
	digest, err := artifact.Digest()
	return digest.String(), err
}

// Digest returns the digest that the registry has for a reference.
func (r *Registry) Digest(ctx context.Context, reference string) (string, error) {
	return crane.Digest(r.Image(reference), r.options(ctx)...)
}

// Tags returns the tags of a repository.
func (r *Registry) Tags(ctx context.Context, repository string) ([]string, error) {
	return crane.ListTags(r.Image(repository), r.options(ctx)...)
}

// Retag has a tag point to what another reference points to, and returns the
// digest of that.
func (r *Registry) Retag(ctx context.Context, from, to string) (string, error) {
	if err := crane.Copy(r.Image(from), r.Image(to), r.options(ctx)...); err != nil {
		return "", err
	}
	return r.Digest(ctx, to)
}

func (r *Registry) options(ctx context.Context) []crane.Option {
	options := []crane.Option{crane.WithContext(ctx), crane.Insecure, crane.WithAuth(authn.Anonymous)}
	if r.Username != "" {
		options = append(options, crane.WithAuth(&authn.Basic{Username: r.Username, Password: r.Password}))
	}
	return options
}

// answers returns nil when the registry is up, be it to ask for credentials.
func (r *Registry) answers(ctx context.Context) error {
	if r.addr == "" {
		return errors.New("no address in its log yet")
	}
	_, err := get(ctx, "http://"+r.addr+"/v2/", http.StatusOK, http.StatusUnauthorized)
	return err
}

const registryConfig = `version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: %q, secret: %q}
`

// writeConfig writes the configuration. The port is the kernel's to choose at
// first: that is the only way to one which nobody takes meanwhile.
func (r *Registry) writeConfig() (string, error) {
	addr := r.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	config := fmt.Sprintf(registryConfig, filepath.Join(r.Dir, "images"), addr, "quickstart")
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return "", err
	}
	if r.Username != "" {
		users, err := r.writeUsers()
		if err != nil {
			return "", err
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: registry, path: %q}}\n", users)
	}
	file := filepath.Join(r.Dir, "config.yml")
	return file, os.WriteFile(file, []byte(config), 0o600)
}

func (r *Registry) writeUsers() (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(r.Password), bcrypt.MinCost)
	if err != nil {
		return "", err
	}
	file := filepath.Join(r.Dir, "htpasswd")
	return file, os.WriteFile(file, []byte(r.Username+":"+string(hash)+"\n"), 0o600)
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// listeningOn finds the address in the part of a log that begins at offset.
func listeningOn(logFile string, offset int64) string {
	if found := listening.FindSubmatch(logSince(logFile, offset)); found != nil {
		return string(found[1])
	}
	return ""
}

// logSince returns the part of a log that begins at offset.
func logSince(logFile string, offset int64) []byte {
	content, _ := os.ReadFile(logFile) // there is none before the first line
	return content[min(int64(len(content)), offset):]
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// get returns the body of an answer that has one of the wanted statuses.
func get(ctx context.Context, url string, wanted ...int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if !slices.Contains(wanted, response.StatusCode) {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
