// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// countingAPI stands between a controller and the API server, and counts.
type countingAPI struct {
	kubeconfig string

	mu       sync.Mutex
	requests []string // such as "GET secrets", "watch imagepolicies"
}

func newCountingAPI(t *testing.T) *countingAPI {
	t.Helper()
	g := NewWithT(t)
	config, err := clientcmd.BuildConfigFromFlags("", suite.kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	transport, err := rest.TransportFor(config)
	g.Expect(err).NotTo(HaveOccurred())
	target, err := url.Parse(config.Host)
	g.Expect(err).NotTo(HaveOccurred())
	api := &countingAPI{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	forward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // watches
	}
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.note(r)
		forward.ServeHTTP(w, r)
	}))
	g.Expect(clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"proxy": {Server: "http://" + host}},
		Contexts:       map[string]*clientcmdapi.Context{"proxy": {Cluster: "proxy"}},
		CurrentContext: "proxy",
	}, api.kubeconfig)).To(Succeed())
	return api
}

func (a *countingAPI) note(r *http.Request) {
	// /api/v1/[namespaces/NAMESPACE/]RESOURCE[/NAME…], or /apis/GROUP/VERSION/…
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	parts = parts[min(len(parts), map[string]int{"api": 2, "apis": 3}[parts[0]]):]
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	verb := r.Method
	if r.URL.Query().Get("watch") != "" {
		verb = "watch"
	} else if len(parts) == 1 && verb == http.MethodGet {
		verb = "list"
	}
	if len(parts) == 0 || parts[0] == "livez" {
		return // what the server can do, and whether it lives
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, verb+" "+parts[0])
}

// kinds returns the kinds of requests so far, less those that write.
func (a *countingAPI) kinds() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	kinds := slices.DeleteFunc(slices.Clone(a.requests), func(request string) bool {
		return strings.HasPrefix(request, http.MethodPatch) || strings.HasPrefix(request, http.MethodPost)
	})
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// TestWhatIsWatched shows that nothing is kept in memory but what is reconciled
// and the metadata of namespaces.
func TestWhatIsWatched(t *testing.T) {
	s := emptyScene(t)
	api := newCountingAPI(t)
	s.kubeconfig = api.kubeconfig
	s.controller = s.start(s.replica())
	registry := registrytest.Start(t, registrytest.WithBasicAuth("user", secretPart))
	registry.PushTags(t, "org/app", "1.0.0")
	s.secret("login", corev1.SecretTypeDockerConfigJson, dockerConfig(s, registry.Host(), "user", secretPart))
	repo := s.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = registry.Image("org/app"), &meta.LocalObjectReference{Name: "login"}
	})
	ready(s, repo)
	ready(s, s.policy("app"))
	s.Expect(api.kinds()).To(Equal([]string{"GET secrets", "watch imagepolicies", "watch imagerepositories", "watch namespaces"}))
}
