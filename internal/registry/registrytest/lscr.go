// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"slices"
	"strings"
)

// lscr imitates lscr.io, a gateway that forwards requests to GHCR and returns GHCR's challenges.
// Its images are those of the GHCR persona. Other registries behind it (AlexGustafsson/cupdate#99)
// are not imitated.
func lscr() Product {
	return Product{
		Name:       "lscr.io",
		Host:       "lscr.io",
		Repository: "linuxserver/radarr",
		Anonymous:  true,
		install: func(f *FakeRegistries, p Product) {
			upstream := f.Registry("ghcr.io")
			upstream.gateways = append(upstream.gateways, p.Host) // receives GHCR's tokens: getwud/wud#143
			f.add(p, slices.Concat(ghcrBehavior(), []Option{
				func(r *Registry) { r.backend, r.login = upstream.backend, upstream.login },
				withBehavior(Any, redirectDocker),
			})...)
		},
	}
}

// redirectDocker redirects Docker and containerd to GHCR, but not other clients.
//
// Source: scarf-sh/gateway#35
func redirectDocker(w http.ResponseWriter, req *http.Request, next http.Handler) {
	agent := strings.ToLower(req.UserAgent())
	if strings.HasPrefix(agent, "docker/") || strings.HasPrefix(agent, "containerd/") {
		RedirectHost("ghcr.io")(w, req, next)
		return
	}
	next.ServeHTTP(w, req)
}
