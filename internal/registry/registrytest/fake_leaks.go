// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Leaks lists the requests since the last Reset that carried one product's
// credentials or token to a host that is neither the product's registry nor its
// token server, each as "method host/path: name of the product". Blob stores
// are such hosts too.
func (z *Zoo) Leaks() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.leaks)
}

// note logs a request and the credentials in it that are not meant for its host.
func (z *Zoo) note(kind Kind, req *http.Request) {
	secrets := secretsIn(req)
	z.mu.Lock()
	defer z.mu.Unlock()
	z.requests = append(z.requests, newRequest(kind, req))
	for _, i := range z.imitations {
		if slices.ContainsFunc(secrets, i.owns) && !slices.Contains(i.registry.trusted(), req.Host) {
			z.leaks = append(z.leaks, fmt.Sprintf("%s %s%s: %s", req.Method, req.Host, req.URL.Path, i.product.Name))
		}
	}
}

// owns reports whether a secret is one of the product's credentials, or a token
// that the product issued.
func (i imitation) owns(secret string) bool {
	if secret == "" {
		return false
	}
	if secret == i.product.Password.Password || secret == i.product.IdentityToken.IdentityToken {
		return true
	}
	l, ok := i.registry.login.(*tokenLogin)
	return ok && l.registry == i.registry && l.hasIssued(secret)
}

// secretsIn returns what may be a secret in a request: in its header
// Authorization, its query and its form.
func secretsIn(req *http.Request) []string {
	_, password, _ := req.BasicAuth()
	_, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	secrets := []string{password, token}
	_ = req.ParseForm() // what can't be parsed is no form
	return slices.Concat(secrets, slices.Concat(slices.Collect(maps.Values(req.Form))...))
}
