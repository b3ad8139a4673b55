// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// zooClient is an ordinary client of the zoo.
type zooClient struct {
	product    Product
	repository name.Repository
	options    []remote.Option
}

// newZooClient returns a client of a product with some credentials, or with none.
func newZooClient(t *testing.T, z *Zoo, p Product, account authn.AuthConfig) *zooClient {
	t.Helper()
	repository, err := name.NewRepository(p.Host + "/" + p.Repository)
	if err != nil {
		t.Fatal(err)
	}
	transport := zooTransport(t, z)
	return &zooClient{product: p, repository: repository, options: []remote.Option{
		remote.WithTransport(transport),
		remote.WithAuth(authn.FromConfig(account)),
		remote.WithRetryStatusCodes(),
		remote.WithContext(t.Context()),
	}}
}

// zooTransport returns a transport that reaches nothing but the zoo.
func zooTransport(t *testing.T, z *Zoo) *http.Transport {
	t.Helper()
	transport := &http.Transport{DialContext: z.Dial, TLSClientConfig: &tls.Config{RootCAs: z.CertPool(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// accounts are the ways to log in to a product, by name.
func (p Product) accounts() map[string]authn.AuthConfig {
	accounts := map[string]authn.AuthConfig{}
	if p.Anonymous {
		accounts["anonymous"] = authn.AuthConfig{}
	}
	if p.Password.Password != "" {
		accounts["password"] = p.Password
	}
	if p.IdentityToken.IdentityToken != "" {
		accounts["identity token"] = p.IdentityToken
	}
	return accounts
}

// TestProducts_ServeAnOrdinaryClient drives every product by every login with
// the library that is known to work with the real ones. It stands for faults
// that make an imitation unlike its product: an answer that can't be read, a
// list that ends early, a token that doesn't admit, credentials that stray.
func TestProducts_ServeAnOrdinaryClient(t *testing.T) {
	for _, p := range Products() {
		for login, account := range p.accounts() {
			t.Run(p.Name+"/"+login, func(t *testing.T) {
				z := StartZoo(t)
				client := newZooClient(t, z, p, account)
				want := z.Registry(p.Host).Push(t, p.Repository, "1.0.0")
				client.checkList(t, []string{"1.0.0"})
				client.checkManifest(t, want)
				client.checkReferrers(t, z.Registry(p.Host), want)
				if leaks := z.Leaks(); len(leaks) > 0 {
					t.Errorf("credentials at the wrong host: %v", leaks)
				}
			})
		}
	}
}

func (c *zooClient) checkList(t *testing.T, want []string) {
	t.Helper()
	tags, err := remote.List(c.repository, c.options...)
	slices.Sort(tags)
	if diff := cmp.Diff(want, tags); err != nil || diff != "" {
		t.Errorf("list: error %v, -want +got:\n%s", err, diff)
	}
}

func (c *zooClient) checkManifest(t *testing.T, want string) {
	t.Helper()
	head, err := remote.Head(c.repository.Tag("1.0.0"), c.options...)
	if issue := c.product.Broken[ManifestHead]; issue != "" {
		if err == nil {
			t.Errorf("HEAD: got %v in spite of %s", head, issue)
		}
	} else if err != nil || head.Digest.String() != want {
		t.Errorf("HEAD: got %v, error %v, want %s", head, err, want)
	}
	got, err := remote.Get(c.repository.Tag("1.0.0"), c.options...)
	if err != nil || got.Digest.String() != want {
		t.Fatalf("GET: got %v, error %v, want %s", got, err, want)
	}
	image, err := got.Image()
	if err != nil {
		t.Fatal(err)
	}
	if config, err := image.ConfigFile(); err != nil || config.RootFS.Type != "layers" {
		t.Errorf("configuration: got %v, error %v", config, err)
	}
}

// checkReferrers checks that a referrer is listed: by the API where the product
// has it, and else under the tag of the referrers tag schema.
func (c *zooClient) checkReferrers(t *testing.T, r *Registry, digest string) {
	t.Helper()
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	referrer := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/example","size":2,"digest":%q},`+
		`"layers":[],"subject":{"mediaType":%q,"size":1,"digest":%q}}`, mediaType, digestOfBytes([]byte("{}")), mediaType, digest)
	want := r.PushManifest(t, c.product.Repository, "", mediaType, []byte(referrer))
	if !c.product.Referrers {
		index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"size":%d,"digest":%q}]}`,
			types.OCIImageIndex, mediaType, len(referrer), want)
		r.PushManifest(t, c.product.Repository, strings.Replace(digest, ":", "-", 1), string(types.OCIImageIndex), []byte(index))
	}
	index, err := remote.Referrers(c.repository.Digest(digest), c.options...)
	if err != nil {
		t.Fatalf("referrers: %v", err)
	}
	manifest, err := index.IndexManifest()
	if issue := c.product.Broken[Referrers]; issue != "" && err == nil {
		if len(manifest.Manifests) > 0 {
			t.Errorf("referrers: got %v in spite of %s", manifest, issue)
		}
		return
	}
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != want {
		t.Errorf("referrers: got %v, error %v, want %s", manifest, err, want)
	}
}
