// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// gates are the gates of a policy. The zero value is none.
type gates struct {
	platforms  []string
	minimumAge time.Duration
	signed     bool
}

// gates returns the gates of the policy of a pair.
func (l load) gates(pair int) gates {
	if pair >= l.gated {
		return gates{}
	}
	return gates{platforms: []string{platform, secondPlatform}, minimumAge: l.minimumAge, signed: pair < l.signed}
}

// apply adds the gates to a policy.
func (g gates) apply(spec *v1.ImagePolicySpec) {
	spec.Platforms = g.platforms
	if g.minimumAge > 0 {
		spec.MinimumAge = &metav1.Duration{Duration: g.minimumAge}
	}
	if g.signed {
		spec.Verify = &v1.ImageVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: keys}}
	}
}

// forbidden returns why the gates forbid the image of a tag that is selected at a time, "" if
// they allow it.
func (g gates) forbidden(tag string, created, selected time.Time) string {
	provided := platformsOf(tag)
	switch {
	case slices.ContainsFunc(g.platforms, func(p string) bool { return !slices.Contains(provided, p) }):
		return "a platform is missing"
	case g.signed && !isSigned(tag):
		return "it is not signed"
	case selected.Sub(created) < g.minimumAge:
		return "it is too young: " + selected.Sub(created).String()
	default:
		return ""
	}
}
