// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"slices"
	"strings"
)

// lscr imitates lscr.io, where a gateway passes requests on to GHCR, and GHCR's
// challenges back. Its images are those of GHCR's imitation. Other registries
// behind it (AlexGustafsson/cupdate#99) are not imitated.
func lscr() Product {
	return Product{
		Name:       "lscr.io",
		Host:       "lscr.io",
		Repository: "linuxserver/radarr",
		Anonymous:  true,
		install: func(z *Zoo, p Product) {
			behind := z.Registry("ghcr.io")
			behind.fronts = append(behind.fronts, p.Host) // gets tokens of GHCR: getwud/wud#143
			z.add(p, slices.Concat(ghcrHabits(), []Option{
				func(r *Registry) { r.backend, r.login = behind.backend, behind.login },
				withHabit(Any, redirectDocker),
			})...)
		},
	}
}

// redirectDocker redirects Docker and containerd to GHCR, and lets others pass.
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
