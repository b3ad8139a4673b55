// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

const testDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestMigrateRefs_ConvertsDeprecatedFields(t *testing.T) {
	ref := image.NewRef
	for _, tc := range []struct {
		reason   string
		in, want v1.ImagePolicyStatus
	}{{
		reason: "only the latest image",
		in:     v1.ImagePolicyStatus{LatestImage: "ghcr.io/a/b:1"},
		want:   v1.ImagePolicyStatus{LatestRef: ref("ghcr.io/a/b", "1", ""), LatestImage: "ghcr.io/a/b:1"},
	}, {
		reason: "both images",
		in:     v1.ImagePolicyStatus{LatestImage: "ghcr.io/a/b:2", ObservedPreviousImage: "ghcr.io/a/b:1"},
		want: v1.ImagePolicyStatus{
			LatestRef: ref("ghcr.io/a/b", "2", ""), LatestImage: "ghcr.io/a/b:2",
			ObservedPreviousRef: ref("ghcr.io/a/b", "1", ""), ObservedPreviousImage: "ghcr.io/a/b:1",
		},
	}, {
		reason: "a port and a digest",
		in:     v1.ImagePolicyStatus{LatestImage: "localhost:5000/app:2@" + testDigest},
		want:   v1.ImagePolicyStatus{LatestRef: ref("localhost:5000/app", "2", testDigest), LatestImage: "localhost:5000/app:2"},
	}, {
		reason: "an invalid value stays unchanged",
		in:     v1.ImagePolicyStatus{LatestImage: "localhost:5000/app", ObservedPreviousImage: "ghcr.io/a/b:1"},
		want: v1.ImagePolicyStatus{
			LatestImage:         "localhost:5000/app",
			ObservedPreviousRef: ref("ghcr.io/a/b", "1", ""), ObservedPreviousImage: "ghcr.io/a/b:1",
		},
	}, {
		reason: "an existing ref takes precedence over the deprecated field",
		in:     v1.ImagePolicyStatus{LatestRef: ref("ghcr.io/a/b", "3", testDigest), LatestImage: "ghcr.io/a/b:1"},
		want:   v1.ImagePolicyStatus{LatestRef: ref("ghcr.io/a/b", "3", testDigest), LatestImage: "ghcr.io/a/b:3"},
	}, {
		reason: "name and image of a ref are set from each other",
		in: v1.ImagePolicyStatus{
			LatestRef:           &v1.ImageRef{Image: "ghcr.io/a/b", Tag: "3"},
			ObservedPreviousRef: &v1.ImageRef{Name: "ghcr.io/a/b", Tag: "2", Digest: testDigest},
		},
		want: v1.ImagePolicyStatus{
			LatestRef: ref("ghcr.io/a/b", "3", ""), LatestImage: "ghcr.io/a/b:3",
			ObservedPreviousRef: ref("ghcr.io/a/b", "2", testDigest), ObservedPreviousImage: "ghcr.io/a/b:2",
		},
	}, {
		reason: "an empty status stays empty",
	}} {
		t.Run(tc.reason, func(t *testing.T) {
			g := NewWithT(t)
			got := tc.in.DeepCopy()
			migrateRefs(logr.Discard(), got)
			g.Expect(*got).To(Equal(tc.want))
			migratedTwice := got.DeepCopy()
			migrateRefs(logr.Discard(), migratedTwice)
			g.Expect(migratedTwice).To(Equal(got), "the migration is idempotent")
		})
	}
}

func TestSetLatest_TracksPreviousRef(t *testing.T) {
	g := NewWithT(t)
	policy := &v1.ImagePolicy{}
	status := &policy.Status
	rule, err := selection.Compile(&v1.ImagePolicySpec{Policy: v1.ImagePolicyChoice{Numerical: &v1.NumericalPolicy{}}})
	g.Expect(err).NotTo(HaveOccurred())
	step := func(ref *v1.ImageRef, previous *v1.ImageRef, message string) {
		t.Helper()
		setLatest(change{policy: policy, ref: ref, rule: rule}, time.Now())
		g.Expect(status.LatestRef).To(Equal(ref))
		g.Expect(status.ObservedPreviousRef).To(Equal(previous))
		g.Expect(status.LatestImage).To(Equal(image.FormatRef(ref)))
		g.Expect(status.ObservedPreviousImage).To(Equal(image.FormatRef(previous)))
		g.Expect(readyMessage(*status)).To(Equal(message))
	}
	one, pinned, two, moved := image.NewRef("app", "1", ""), image.NewRef("app", "1", "sha256:d"), image.NewRef("app", "2", ""), image.NewRef("new", "2", "")
	step(one, nil, "Latest image tag for 'app' resolved to 1")
	step(image.NewRef("app", "1", ""), nil, "Latest image tag for 'app' resolved to 1")
	step(pinned, one, "Latest image tag for 'app' updated from 1 to 1@sha256:d")
	step(two, pinned, "Latest image tag for 'app' updated from 1@sha256:d to 2")
	step(moved, two, "Latest image tag for 'new' updated from app:2 to 2")
}

func TestReflect_FollowsReflectionPolicy(t *testing.T) {
	current := image.NewRef("app", "1", "sha256:d")
	for _, tc := range []struct {
		reason  string
		policy  v1.ReflectionPolicy
		current *v1.ImageRef
		tag     string
		delayed bool
		want    reflection
	}{
		{"Never has no digest", v1.ReflectNever, current, "1", false, clearDigest},
		{"IfNotPresent keeps the digest", v1.ReflectIfNotPresent, current, "1", false, keepDigest},
		{"IfNotPresent fetches for a new tag", v1.ReflectIfNotPresent, current, "2", false, fetchDigest},
		{"IfNotPresent fetches a missing digest", v1.ReflectIfNotPresent, image.NewRef("app", "1", ""), "1", false, fetchDigest},
		{"IfNotPresent fetches the first digest", v1.ReflectIfNotPresent, nil, "1", false, fetchDigest},
		{"IfNotPresent fetches for a new image", v1.ReflectIfNotPresent, image.NewRef("old", "1", "sha256:d"), "1", false, fetchDigest},
		{"Always fetches", v1.ReflectAlways, current, "1", false, fetchDigest},
		{"Always is delayed after a start", v1.ReflectAlways, current, "1", true, keepDigest},
		{"a new tag is not delayed", v1.ReflectAlways, current, "2", true, fetchDigest},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			NewWithT(t).Expect(reflect(tc.policy, tc.current, "app", tc.tag, tc.delayed)).To(Equal(tc.want))
		})
	}
}
