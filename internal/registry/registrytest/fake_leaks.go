// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Leaks lists the requests since the last Reset that sent a product's credentials or token to a
// host other than the product's registry and token server, as "method host/path: product name".
// Blob stores count as other hosts.
func (f *FakeRegistries) Leaks() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.leaks)
}

// record logs a request, and a leak if its credentials belong to another host.
func (f *FakeRegistries) record(kind Kind, req *http.Request) {
	secrets := secretsIn(req)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, newRequest(kind, req))
	for _, p := range f.personas {
		if slices.ContainsFunc(secrets, p.owns) && !slices.Contains(p.registry.trusted(), req.Host) {
			f.leaks = append(f.leaks, fmt.Sprintf("%s %s%s: %s", req.Method, req.Host, req.URL.Path, p.product.Name))
		}
	}
}

// owns reports whether secret is a credential of the product or a token that it issued.
func (p persona) owns(secret string) bool {
	if secret == "" {
		return false
	}
	if secret == p.product.Password.Password || secret == p.product.IdentityToken.IdentityToken {
		return true
	}
	l, ok := p.registry.login.(*tokenLogin)
	return ok && l.registry == p.registry && l.hasIssued(secret)
}

// secretsIn returns the possible secrets of a request: in its Authorization header, its query and
// its form.
func secretsIn(req *http.Request) []string {
	_, password, _ := req.BasicAuth()
	_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	secrets := []string{password, token}
	_ = req.ParseForm() // a form that can't be parsed has no values
	return slices.Concat(secrets, slices.Concat(slices.Collect(maps.Values(req.Form))...))
}
