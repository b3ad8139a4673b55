// SPDX-License-Identifier: Apache-2.0

package options

import (
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	flag "github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func parse(t *testing.T, args ...string) *Options {
	t.Helper()
	o := &Options{}
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	o.BindFlags(fs)
	NewWithT(t).Expect(fs.Parse(args)).To(Succeed())
	return o
}

// TestCacheOptions_StripWhatIsNotRead checks that fields that the controller does not read are not
// cached.
func TestCacheOptions_StripWhatIsNotRead(t *testing.T) {
	g := NewWithT(t)
	options, err := parse(t).CacheOptions()
	g.Expect(err).NotTo(HaveOccurred())
	object := metav1.ObjectMeta{
		Name:          "app",
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "event.toolkit.fluxcd.io/team": "a"},
	}
	annotations := object.Annotations
	stripped := metav1.ObjectMeta{Name: "app", Annotations: map[string]string{"event.toolkit.fluxcd.io/team": "a"}}
	for _, obj := range []ctrlclient.Object{
		&v1.ImageRepository{ObjectMeta: object},
		&v1.ImagePolicy{ObjectMeta: object},
		&metav1.PartialObjectMetadata{ObjectMeta: object},
	} {
		out, err := options.DefaultTransform(obj)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out).To(HaveField("ObjectMeta", stripped))
	}
	g.Expect(annotations).To(HaveLen(2), "the map of the original object is not changed")
	for kind := range options.ByObject {
		g.Expect(options.ByObject[kind].Transform).To(BeNil(), "the default transform applies")
	}

	tombstone := cache.DeletedFinalStateUnknown{Key: "ns/app"}
	g.Expect(options.DefaultTransform(tombstone)).To(Equal(tombstone))
}

func TestClientOptions_CacheSecretsOnlyWithFeatureGate(t *testing.T) {
	g := NewWithT(t)
	o := parse(t)
	g.Expect(o.Check(logr.Discard())).To(Succeed())
	g.Expect(ClientOptions().Cache.DisableFor).To(ConsistOf(&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}))

	o = parse(t, "--feature-gates=CacheSecretsAndConfigMaps=true")
	g.Expect(o.Check(logr.Discard())).To(Succeed())
	g.Expect(ClientOptions().Cache).To(BeNil())
}

// TestLeaderElectionID_DiffersByShard checks that shards don't exclude each other, and that a
// shard excludes the Flux controller that it replaces: the names of the leases are equal.
func TestLeaderElectionID_DiffersByShard(t *testing.T) {
	g := NewWithT(t)
	id := func(args ...string) string { return parse(t, args...).LeaderElectionID("image-reflector-controller") }
	g.Expect(id()).To(Equal("image-reflector-controller-leader-election"))
	shard1 := id("--watch-label-selector=sharding.fluxcd.io/key=shard1")
	g.Expect(shard1).To(HavePrefix("image-reflector-controller-leader-election-"))
	g.Expect(id("--watch-label-selector=sharding.fluxcd.io/key=shard1")).To(Equal(shard1), "replicas of a shard")
	g.Expect(id("--watch-label-selector=sharding.fluxcd.io/key=shard2")).NotTo(Equal(shard1))
	g.Expect(id("--watch-label-selector=!sharding.fluxcd.io/key")).NotTo(BeElementOf(shard1, id()))
}

func TestCacheOptions_RejectInvalidSelector(t *testing.T) {
	g := NewWithT(t)
	_, err := parse(t, "--watch-label-selector=a in b").CacheOptions()
	g.Expect(err).To(MatchError(ContainSubstring("--watch-label-selector is not a valid label selector")))
}

func TestCheckDelays_RejectZero(t *testing.T) {
	for _, tc := range []struct {
		reason, arg, want string
	}{
		{"the defaults are valid", "--concurrent=4", ""},
		{"retries without a pause", "--max-retry-delay=0s", "--max-retry-delay is 0s"},
		{"first retries without a pause", "--min-retry-delay=-1s", "--min-retry-delay is -1s"},
		{"checks of dependencies without a pause", "--requeue-dependency=0s", "--requeue-dependency is 0s"},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			g := NewWithT(t)
			o := parse(t, tc.arg)
			if tc.want == "" {
				g.Expect(o.checkDelays()).To(Succeed())
				return
			}
			g.Expect(o.checkDelays()).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func TestCheck_RejectsMissingSettings(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("RUNTIME_NAMESPACE", "")
	g.Expect(parse(t, "--storage-path=").Check(logr.Discard())).To(MatchError("--storage-path is empty: name a directory"))
	one := parse(t, "--watch-all-namespaces=false")
	g.Expect(one.Check(logr.Discard())).To(MatchError(ContainSubstring("set the environment variable RUNTIME_NAMESPACE")))
	t.Setenv("RUNTIME_NAMESPACE", "flux-system")
	g.Expect(one.Check(logr.Discard())).To(Succeed())
}
