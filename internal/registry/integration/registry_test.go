// SPDX-License-Identifier: Apache-2.0

// Package integration_test tests the client with real registries, those of CNCF Distribution, with
// all settings of an ImageRepository: passwords, tokens, certificates and proxies. It also compares
// the registries with their personas in registrytest.
package integration_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// registryV2Variable is the environment variable with the path of the registry's version 2.
const registryV2Variable = "REGISTRY_V2"

func TestMain(m *testing.M) {
	for _, variable := range []string{testenv.RegistryVariable, registryV2Variable} {
		if _, err := os.Stat(os.Getenv(variable)); err != nil {
			fmt.Fprintf(os.Stderr, `the integration tests can't run: %[1]s is '%[2]s': %[3]v
They start real registries, which make builds: run "make test", or
	make bin/registry bin/registry-v2
	export %[4]s="$PWD/bin/registry" %[5]s="$PWD/bin/registry-v2"
in the root of the repository, and then run this again
`, variable, os.Getenv(variable), err, testenv.RegistryVariable, registryV2Variable)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// server is a registry that runs until the test ends.
type server struct {
	addr   string // host and port
	digest string // of every tag of "app"
	log    string
}

// settings are the parts of a registry's configuration that differ between tests, as YAML of one
// line each.
type settings struct {
	auth string
	tls  string
	// program is the environment variable of the binary; empty for testenv.RegistryVariable.
	program string
}

const configuration = `version: 0.1
log: {level: info}
storage: {inmemory: {}, maintenance: {uploadpurging: {enabled: false}}}
http: {addr: "127.0.0.1:0", secret: s, tls: {%s}}
%s
`

// startRegistry starts a registry and pushes the tags 1.0.0 and 1.1.0 of the image "team/app".
func startRegistry(t *testing.T, s settings, push ...remote.Option) *server {
	t.Helper()
	config, r := filepath.Join(t.TempDir(), "config.yml"), &server{log: filepath.Join(t.TempDir(), "log")}
	NewWithT(t).Expect(os.WriteFile(config, fmt.Appendf(nil, configuration, s.tls, s.auth), 0o600)).To(Succeed())
	r.run(t, os.Getenv(cmp.Or(s.program, testenv.RegistryVariable)), config)
	r.push(t, s.tls == "", push)
	return r
}

// run runs a program until the test ends.
func (r *server) run(t *testing.T, binary, config string) {
	t.Helper()
	g := NewWithT(t)
	log, err := os.Create(r.log)
	g.Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	cmd := exec.Command(binary, "serve", config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Stdout, cmd.Stderr = log, log
	g.Expect(cmd.Start()).To(Succeed())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the registry's log:\n%s", testenv.Tail(r.log, 20))
		}
	})
	if err := r.await(t.Context()); err != nil {
		t.Fatalf("%s did not start: %v\n%s", binary, err, testenv.Tail(r.log, 20))
	}
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// await waits until the registry listens, and sets its address.
func (r *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it took too long"))
	defer cancel()
	for ctx.Err() == nil {
		content, err := os.ReadFile(r.log)
		if err != nil {
			return err
		}
		if found := listening.FindSubmatch(content); found != nil {
			r.addr = string(found[1])
			if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.addr); err == nil {
				return conn.Close()
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return context.Cause(ctx)
}

func (r *server) push(t *testing.T, insecure bool, opts []remote.Option) {
	t.Helper()
	g := NewWithT(t)
	image, err := testenv.Image("content")
	g.Expect(err).NotTo(HaveOccurred())
	var nameOpts []name.Option
	if insecure {
		nameOpts = append(nameOpts, name.Insecure)
	}
	for _, tag := range []string{"1.0.0", "1.1.0"} {
		ref, err := name.NewTag(r.addr+"/team/app:"+tag, nameOpts...)
		g.Expect(err).NotTo(HaveOccurred())
		if err := remote.Write(ref, image, append(opts, remote.WithContext(t.Context()))...); err != nil {
			t.Fatalf("%s was not pushed: %v\n%s", ref, err, testenv.Tail(r.log, 20))
		}
	}
	digest, err := image.Digest()
	g.Expect(err).NotTo(HaveOccurred())
	r.digest = digest.String()
}
