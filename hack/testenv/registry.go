// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

// Registry is a registry (CNCF Distribution) that stores images in a folder. After Stop or Kill,
// Start restarts it with the same images and address.
type Registry struct {
	// Binary is the path of the program.
	Binary string
	// Dir contains all files that it writes.
	Dir string
	// Username and Password are required from clients if set.
	Username, Password string
	// Upstream is the host of a registry whose images are cached on pull. The registry then
	// accepts no pushes.
	Upstream string

	program
}

// RegistryAt returns a registry that runs outside this process.
func RegistryAt(host, username, password string) *Registry {
	return &Registry{program: program{addrs: []string{host}}, Username: username, Password: password}
}

// Start starts the registry and waits until it responds.
func (r *Registry) Start(ctx context.Context) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	config := fmt.Sprintf(registryConfig, filepath.Join(r.Dir, "images"))
	if r.Username != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(r.Password), bcrypt.MinCost)
		if err != nil {
			return err
		}
		users := filepath.Join(r.Dir, "htpasswd")
		if err := os.WriteFile(users, fmt.Appendf(nil, "%s:%s\n", r.Username, hash), 0o600); err != nil {
			return err
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: registry, path: %q}}\n", users)
	}
	if r.Upstream != "" {
		config += fmt.Sprintf("proxy: {remoteurl: %q}\n", "http://"+r.Upstream)
	}
	file := filepath.Join(r.Dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	command := func() *exec.Cmd {
		cmd := exec.Command(r.Binary, "serve", file)
		// without the first, it would send traces to a collector on this machine
		cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none", "REGISTRY_HTTP_ADDR="+r.addr(0))
		return cmd
	}
	// 401: the registry is up and requires credentials
	return r.launch(ctx, filepath.Join(r.Dir, "registry.log"), 1, command, "/v2/", http.StatusOK, http.StatusUnauthorized)
}

const registryConfig = `version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {secret: quickstart}
`

// Host returns the host and port for image names. It is valid after the first Start.
func (r *Registry) Host() string { return r.addr(0) }

// Image returns the full name of a reference such as "podinfo:1.0.0".
func (r *Registry) Image(reference string) string { return r.Host() + "/" + reference }

// Artifact is an image or an index of images.
type Artifact interface {
	remote.Taggable
	Digest() (v1.Hash, error)
}

// Push pushes an artifact to a reference such as "podinfo:1.0.0", and returns its digest.
func (r *Registry) Push(ctx context.Context, reference string, artifact Artifact) (string, error) {
	return Push(ctx, r.Image(reference), artifact, r.options(ctx)...)
}

// Push pushes an artifact to a reference that includes the registry, and returns its digest.
func Push(ctx context.Context, reference string, artifact Artifact, opts ...crane.Option) (string, error) {
	options := crane.GetOptions(append(opts, crane.WithContext(ctx))...)
	ref, err := name.ParseReference(reference, options.Name...)
	if err != nil {
		return "", err
	}
	if err := remote.Push(ref, artifact, options.Remote...); err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	digest, err := artifact.Digest()
	return digest.String(), err
}

// Digest returns the digest of a reference.
func (r *Registry) Digest(ctx context.Context, reference string) (string, error) {
	return crane.Digest(r.Image(reference), r.options(ctx)...)
}

// Retag moves the tag to so that it points to the image of from, and returns its digest.
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
