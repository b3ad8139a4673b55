// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	. "github.com/onsi/gomega"
	flag "github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func parsed(t *testing.T, args ...string) *flags {
	t.Helper()
	f := &flags{}
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	f.bind(fs)
	NewWithT(t).Expect(fs.Parse(args)).To(Succeed())
	return f
}

// TestWhatIsCachedIsSlim shows that what nobody reads is not kept in memory.
func TestWhatIsCachedIsSlim(t *testing.T) {
	g := NewWithT(t)
	options, err := parsed(t).cacheOptions()
	g.Expect(err).NotTo(HaveOccurred())
	object := metav1.ObjectMeta{
		Name:          "app",
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "event.toolkit.fluxcd.io/team": "a"},
	}
	applied := object.Annotations
	slimmed := metav1.ObjectMeta{Name: "app", Annotations: map[string]string{"event.toolkit.fluxcd.io/team": "a"}}
	for _, obj := range []ctrlclient.Object{
		&v1.ImageRepository{ObjectMeta: object},
		&v1.ImagePolicy{ObjectMeta: object},
		&metav1.PartialObjectMetadata{ObjectMeta: object},
	} {
		out, err := options.DefaultTransform(obj)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out).To(HaveField("ObjectMeta", slimmed))
	}
	g.Expect(applied).To(HaveLen(2), "a map may be somebody else's, too")
	for kind := range options.ByObject {
		g.Expect(options.ByObject[kind].Transform).To(BeNil(), "the default one is obeyed")
	}

	tombstone := cache.DeletedFinalStateUnknown{Key: "ns/app"}
	g.Expect(options.DefaultTransform(tombstone)).To(Equal(tombstone))
}

func TestSecretsAreCachedOnDemandOnly(t *testing.T) {
	g := NewWithT(t)
	f := parsed(t)
	g.Expect(f.check()).To(Succeed())
	g.Expect(clientOptions().Cache.DisableFor).To(ConsistOf(&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}))

	f = parsed(t, "--feature-gates=CacheSecretsAndConfigMaps=true")
	g.Expect(f.check()).To(Succeed())
	g.Expect(clientOptions().Cache).To(BeNil())
}

// TestEachShardElectsItsLeader shows that shards don't exclude each other, and
// that a shard and the controller it replaces do: the names of their leases are
// those of a Flux installation.
func TestEachShardElectsItsLeader(t *testing.T) {
	g := NewWithT(t)
	id := func(args ...string) string { return parsed(t, args...).leaderElectionID() }
	g.Expect(id()).To(Equal("image-reflector-controller-leader-election"))
	one := id("--watch-label-selector=sharding.fluxcd.io/key=shard1")
	g.Expect(one).To(HavePrefix("image-reflector-controller-leader-election-"))
	g.Expect(id("--watch-label-selector=sharding.fluxcd.io/key=shard1")).To(Equal(one), "replicas of a shard")
	g.Expect(id("--watch-label-selector=sharding.fluxcd.io/key=shard2")).NotTo(Equal(one))
	g.Expect(id("--watch-label-selector=!sharding.fluxcd.io/key")).NotTo(BeElementOf(one, id()))
}

func TestSelectorsMustParse(t *testing.T) {
	g := NewWithT(t)
	_, err := parsed(t, "--watch-label-selector=a in b").cacheOptions()
	g.Expect(err).To(MatchError(ContainSubstring("--watch-label-selector is no label selector")))
}
