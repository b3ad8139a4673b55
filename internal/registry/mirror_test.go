// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// mirrored is an image with a mirror, at which it has the prefix "cache", and a client for both.
type mirrored struct {
	*testClient
	origin, mirror *registrytest.Registry
	img            image.Name
	fallbacks      []string // "mirror next reason"
}

// mirrorsIn returns the option with the mirrors of a file.
func mirrorsIn(t *testing.T, file string, onFallback func(Fallback)) ClientOption {
	t.Helper()
	config, err := mirrors.Parse([]byte(file), nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return WithMirrors(config, onFallback)
}

// prefixed returns the file with a mirror with the prefix "cache". keys are added to its table.
func prefixed(origin, mirror, keys string) string {
	return fmt.Sprintf("[%q.host.\"http://%s/v2/cache\"]\noverride_path = true\n%s\n", origin, mirror, keys)
}

// startMirrored starts an image with a mirror. Both have the same tags.
func startMirrored(t *testing.T, opts ...ClientOption) *mirrored {
	t.Helper()
	m := &mirrored{mirror: registrytest.Start(t, registrytest.WithReferrers())}
	m.origin, m.img = start(t, registrytest.WithReferrers())
	for _, tag := range []string{"1.0.0", "1.1.0"} {
		m.mirror.PushManifest(t, "cache/app", tag, manifestType, m.origin.Manifest(t, "app", tag))
	}
	m.testClient = newTestClient(t, append(opts, mirrorsIn(t, prefixed(m.origin.Host(), m.mirror.Host(), ""), m.addFallback))...)
	m.reset()
	return m
}

func (m *mirrored) addFallback(f Fallback) {
	name := map[string]string{m.origin.Host(): "origin", m.mirror.Host(): "mirror"}
	m.fallbacks = append(m.fallbacks, name[f.Mirror]+" "+name[f.Next]+" "+f.Reason)
}

func (m *mirrored) reset() {
	m.origin.Reset()
	m.mirror.Reset()
	m.fallbacks = nil
}

// TestMirror_ServesAllOperations checks that no operation reaches the origin if the mirror has the
// content, and that the mirror gets the name of the registry.
func TestMirror_ServesAllOperations(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t)
	subject, err := m.Digest(t.Context(), m.img, "1.0.0", AuthOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	blob := []byte("blob")
	digest := m.mirror.PushBlob(t, "cache/app", blob)
	m.mirror.PushManifest(t, "cache/app", "signature", manifestType,
		[]byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":1}}`, manifestType, manifestType, subject)))
	m.reset()

	g.Expect(m.ListTags(t.Context(), m.img, AuthOptions{})).To(ContainElements("1.0.0", "1.1.0"))
	g.Expect(m.Exists(t.Context(), m.img, "1.1.0", AuthOptions{})).To(BeTrue())
	g.Expect(m.Manifest(t.Context(), m.img, "1.0.0", AuthOptions{})).To(HaveField("Digest", subject))
	g.Expect(m.Manifest(t.Context(), m.img, subject, AuthOptions{})).To(HaveField("Digest", subject))
	g.Expect(m.Blob(t.Context(), m.img, digest, 10, AuthOptions{})).To(Equal(blob))
	g.Expect(m.Referrers(t.Context(), m.img, subject, AuthOptions{})).To(HaveLen(1))
	g.Expect(m.origin.Requests()).To(BeEmpty())
	g.Expect(m.fallbacks).To(BeEmpty())
	for _, request := range m.mirror.Requests() {
		if request.Kind != registrytest.Ping {
			g.Expect(request.Query).To(ContainSubstring("ns=127.0.0.1"), "%s", request.Path)
		}
	}
}

// TestMirror_FallsBack checks that every failure of a mirror leads to the origin.
func TestMirror_FallsBack(t *testing.T) {
	for reason, faults := range map[string]map[string]registrytest.Fault{
		"not_found": {"404": registrytest.Status(404, "")},
		"refused":   {"401": registrytest.Status(401, ""), "403": registrytest.Status(403, "")},
		"throttled": {"429": registrytest.RetryAfter(429, "60"), "503": registrytest.RetryAfter(503, "60")},
		"error":     {"500": registrytest.Status(500, ""), "Reset": registrytest.Reset(), "HTML": registrytest.HTML(), "Redirect": registrytest.Redirect("http://169.254.169.254/"), "Ingress": registrytest.Status(404, "<html>404 page not found</html>")},
	} {
		for name, fault := range faults {
			t.Run(name, func(t *testing.T) {
				g, m := NewWithT(t), startMirrored(t)
				m.mirror.Inject(registrytest.Tags, fault)
				m.mirror.Inject(registrytest.ManifestHead, fault)
				m.mirror.Inject(registrytest.ManifestGet, fault)
				g.Expect(m.ListTags(t.Context(), m.img, AuthOptions{})).To(Equal([]string{"1.0.0", "1.1.0"}))
				g.Expect(m.fallbacks).To(Equal([]string{"mirror origin " + reason}))
				g.Expect(m.Digest(t.Context(), m.img, "1.0.0", AuthOptions{})).NotTo(BeEmpty())
				g.Expect(m.fallbacks).To(HaveLen(2))
				g.Expect(m.fallbacks[1]).To(Equal("mirror origin " + reason))
				metric := m.metrics.fallbacks.WithLabelValues(m.mirror.Host(), reason)
				g.Expect(testutil.ToFloat64(metric)).To(Equal(2.0))
			})
		}
	}
}

// TestMirror_ThatHangsLeavesTime checks that a mirror that does not respond gets only its share of
// the time, and is not tried again by later operations, also of other Repository values, for a while.
func TestMirror_ThatHangsLeavesTime(t *testing.T) {
	clock := registrytest.NewClock()
	g, m := NewWithT(t), startMirrored(t, withClock(clock))
	m.mirror.Inject(registrytest.Any, m.mirror.Hang())
	repo := m.Open(m.access(m.img, AuthOptions{}))
	defer repo.Close()
	started := time.Now()
	list, err := repo.List(timeout(t, 4*time.Second), "")
	g.Expect(list.Tags, err).To(HaveLen(2))
	g.Expect(time.Since(started)).To(And(BeNumerically(">", 1900*time.Millisecond), BeNumerically("<", 3500*time.Millisecond)), "half of the time")
	g.Expect(m.fallbacks).To(Equal([]string{"mirror origin timeout"}))
	m.mirror.Reset()
	g.Expect(repo.Digest(t.Context(), "1.0.0")).NotTo(BeEmpty())
	g.Expect(m.Digest(t.Context(), m.img, "1.0.0", AuthOptions{})).NotTo(BeEmpty(), "by another Repository")
	g.Expect(m.mirror.Requests()).To(BeEmpty())
	g.Expect(m.fallbacks).To(Equal([]string{"mirror origin timeout", "mirror origin timeout", "mirror origin timeout"}))
	m.mirror.ClearFaults()
	clock.Advance(unreachableFor)
	g.Expect(m.Digest(t.Context(), m.img, "1.0.0", AuthOptions{})).NotTo(BeEmpty())
	g.Expect(m.mirror.Requests()).NotTo(BeEmpty())
}

// TestMirror_ShortTimeoutOfOneObject checks that it does not keep others from the mirror.
func TestMirror_ShortTimeoutOfOneObject(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t)
	m.mirror.Inject(registrytest.Any, m.mirror.Hang())
	g.Expect(m.ListTags(timeout(t, minWait), m.img, AuthOptions{})).To(HaveLen(2), "after half of the time")
	m.mirror.ClearFaults()
	m.mirror.Reset()
	g.Expect(m.ListTags(t.Context(), m.img, AuthOptions{})).To(HaveLen(2))
	g.Expect(m.mirror.Requests()).NotTo(BeEmpty())
}

// TestMirror_IsNotTriedWhileUnreachable checks that only the first of many operations waits for a
// connection to a mirror that is down.
func TestMirror_IsNotTriedWhileUnreachable(t *testing.T) {
	g, clock := NewWithT(t), registrytest.NewClock()
	origin, img := start(t)
	down, reasons := unusedAddress(t), []string{}
	c := newTestClient(t, withClock(clock), mirrorsIn(t, prefixed(origin.Host(), down, ""), func(f Fallback) { reasons = append(reasons, f.Reason) }))
	attempts, base := 0, c.base
	c.base = func(config transport.Config) http.RoundTripper {
		return transport.Func(func(req *http.Request) (*http.Response, error) {
			if req.URL.Host == down {
				attempts++
			}
			return base(config).RoundTrip(req)
		})
	}
	list := func() {
		t.Helper()
		g.Expect(c.ListTags(t.Context(), img, AuthOptions{})).To(HaveLen(2))
	}
	list()
	first := attempts
	g.Expect(first).NotTo(BeZero())
	list()
	g.Expect(attempts).To(Equal(first), "requests to the mirror")
	g.Expect(reasons).To(Equal([]string{"error", "error"}), "each operation is counted")
	clock.Advance(unreachableFor + time.Second)
	list()
	g.Expect(attempts).To(BeNumerically(">", first), "requests after a while")
}

// TestMirror_InPlaceOfOrigin checks that the origin is not tried if the file names another server.
func TestMirror_InPlaceOfOrigin(t *testing.T) {
	g := NewWithT(t)
	origin, img := start(t)
	mirror := registrytest.Start(t)
	mirror.PushTags(t, "app", "2.0.0")
	c := newTestClient(t, mirrorsIn(t, fmt.Sprintf("[%q]\nserver = \"http://%s\"\n", origin.Host(), mirror.Host()), nil))
	origin.Reset()
	g.Expect(c.ListTags(t.Context(), img, AuthOptions{})).To(Equal([]string{"2.0.0"}))
	_, err := c.Digest(t.Context(), img, "1.0.0", AuthOptions{})
	g.Expect(err).To(MatchError(ErrNotFound))
	g.Expect(err).To(MatchError(And(ContainSubstring("failed to get the digest of "+img.String()+":1.0.0"), ContainSubstring("registry "+mirror.Host()+" has no such tag"))))
	mirror.Inject(registrytest.Any, registrytest.Status(500, ""))
	for range 2 { // it stays the only host after a failure
		_, err = c.ListTags(t.Context(), img, AuthOptions{})
		g.Expect(err).To(MatchError(ContainSubstring("registry " + mirror.Host() + " answered with an error (500")))
	}
	g.Expect(origin.Requests()).To(BeEmpty())
}

// TestMirror_InPlaceOfOriginWithoutRoomForTheName checks that the origin is not tried either if the name
// of an image is too long at the other server.
func TestMirror_InPlaceOfOriginWithoutRoomForTheName(t *testing.T) {
	origin := registrytest.Start(t)
	long := strings.Repeat("a", 256-len("cache/"))
	g := NewWithT(t)
	file := fmt.Sprintf("[%q]\nserver = \"http://m.example.com/v2/cache\"\noverride_path = true\n", origin.Host())
	repo := newTestClient(t, mirrorsIn(t, file, nil)).Open(Access{
		Image: parse(t, origin.Image(long)),
		Auth: func(context.Context) (AuthOptions, error) {
			return AuthOptions{}, errors.New("the credentials are read")
		},
	})
	defer repo.Close()
	_, err := repo.List(t.Context(), "")
	checkError(t, err, v1.ReadOperationFailedReason, "the name of the image is too long for each of its mirrors: shorten their paths")
	g.Expect(origin.Requests()).To(BeEmpty())
}

// TestMirror_ErrorNamesAllHosts checks the errors of operations that failed at all hosts.
func TestMirror_ErrorNamesAllHosts(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t)
	m.mirror.Inject(registrytest.Any, registrytest.Status(403, ""))
	m.origin.Inject(registrytest.Any, registrytest.Status(500, ""))
	texts := map[string]bool{}
	for range 2 {
		_, err := m.ListTags(t.Context(), m.img, AuthOptions{})
		e := errorOf(t, err)
		g.Expect(e.Reason()).To(Equal(v1.ReadOperationFailedReason), "that of the origin")
		g.Expect(err).To(MatchError(And(ContainSubstring("registry "+m.origin.Host()), ContainSubstring("; "+m.mirror.Host()+" failed too: registry "+m.mirror.Host()+" refused anonymous access"),
			ContainSubstring("the file of --registry-mirrors"), ContainSubstring("add an entry for it to the Secret of spec.secretRef"))))
		texts[err.Error()] = true
	}
	g.Expect(texts).To(HaveLen(1), "the text differs between attempts")
}

// TestMirror_TagIsMissing checks when a tag that a mirror does not have is missing.
func TestMirror_TagIsMissing(t *testing.T) {
	const tag = "1.1.0"
	for name, tc := range map[string]struct {
		reason         string
		mirror, origin registrytest.Fault
		want           bool
		fails          bool
	}{
		"OnlyAtMirror": {reason: "the mirror has no list of all tags", mirror: registrytest.Status(404, ""), want: true},
		"AtBoth":       {reason: "neither has it", mirror: registrytest.Status(404, ""), origin: registrytest.Status(404, "")},
		"OriginFails":  {reason: "a mirror alone is not conclusive", mirror: registrytest.Status(404, ""), origin: registrytest.Status(500, ""), fails: true},
		"MirrorFails":  {reason: "the origin is conclusive", mirror: registrytest.Status(500, ""), origin: registrytest.Status(404, "")},
	} {
		t.Run(name, func(t *testing.T) {
			g, m := NewWithT(t), startMirrored(t)
			for _, kind := range []registrytest.Kind{registrytest.ManifestHead, registrytest.ManifestGet} {
				m.mirror.Inject(kind, tc.mirror)
				if tc.origin != nil {
					m.origin.Inject(kind, tc.origin)
				}
			}
			exists, err := m.Exists(t.Context(), m.img, tag, AuthOptions{})
			g.Expect(exists).To(Equal(tc.want), tc.reason)
			g.Expect(err != nil).To(Equal(tc.fails), "%s: %v", tc.reason, err)
		})
	}
}

// TestMirror_OnlyNotFoundOfAllMirrorsIsConclusive covers two mirrors in place of the origin.
func TestMirror_OnlyNotFoundOfAllMirrorsIsConclusive(t *testing.T) {
	g := NewWithT(t)
	first, second := registrytest.Start(t), registrytest.Start(t)
	first.Inject(registrytest.Any, registrytest.Status(500, ""))
	c := newTestClient(t, mirrorsIn(t, fmt.Sprintf("[\"example.com\"]\nserver = \"http://%s\"\n[\"example.com\".host.\"http://%s\"]", second.Host(), first.Host()), nil))
	exists, err := c.Exists(t.Context(), parse(t, "example.com/app"), "1.0.0", AuthOptions{})
	g.Expect(exists).To(BeFalse())
	g.Expect(err).To(MatchError(And(ContainSubstring(first.Host()), ContainSubstring(second.Host()+" failed too"))))
	first.ClearFaults()
	g.Expect(c.Exists(t.Context(), parse(t, "example.com/app"), "1.0.0", AuthOptions{})).To(BeFalse())
}

// TestMirror_NotFoundNeedsTheOrigin checks that a tag is not missing if the origin, which the file does
// not exclude, is not tried, because its table lacks the capability or the time is over.
func TestMirror_NotFoundNeedsTheOrigin(t *testing.T) {
	t.Run("Capability", func(t *testing.T) {
		g, m := NewWithT(t), startMirrored(t)
		file := fmt.Sprintf("[%q]\ncapabilities = [\"pull\"]\n", m.origin.Host()) + prefixed(m.origin.Host(), m.mirror.Host(), "")
		c := newTestClient(t, mirrorsIn(t, file, nil))
		exists, err := c.Exists(t.Context(), m.img, "2.0.0", AuthOptions{})
		g.Expect(exists).To(BeFalse())
		g.Expect(errorOf(t, err).Reason()).To(Equal(v1.ReadOperationFailedReason))
		g.Expect(err).To(MatchError(And(ContainSubstring("registry "+m.mirror.Host()+" has no such tag"), ContainSubstring("that is not conclusive, because registry "+m.origin.Host()+" was not tried: "+
			"check its capabilities in the file of --registry-mirrors"))))
		g.Expect(c.Exists(t.Context(), m.img, "1.0.0", AuthOptions{})).To(BeTrue())
		g.Expect(m.origin.Requests()).To(BeEmpty())
	})
	t.Run("Time", func(t *testing.T) {
		g, ctx := NewWithT(t), t.Context()
		second := registrytest.Start(t)
		for name, table := range map[string]string{"Origin": "", "Server": fmt.Sprintf("[\"example.com\"]\nserver = \"http://%s\"\n", second.Host())} {
			m := startMirrored(t)
			c := newTestClient(t, mirrorsIn(t, table+prefixed("example.com", m.mirror.Host(), ""), nil))
			repo := c.Open(Access{Image: parse(t, "example.com/app")})
			ended, cancel := context.WithCancel(ctx)
			_, err := run(ended, repo, operation{verb: opExists, tag: "2.0.0"}, func(ctx context.Context, r *reader) (any, error) {
				defer cancel()
				return nil, r.exists(ctx, "2.0.0")
			})
			repo.Close()
			g.Expect(err).To(MatchError(ContainSubstring("was not tried")), name)
			g.Expect(err).NotTo(MatchError(ErrNotFound), name)
		}
	})
}

// TestMirror_WithoutReferrers checks that the origin is tried before an image has no signatures.
func TestMirror_WithoutReferrers(t *testing.T) {
	g, m := NewWithT(t), startMirrored(t)
	subject, err := m.Digest(t.Context(), m.img, "1.0.0", AuthOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.Referrers(t.Context(), m.img, subject, AuthOptions{})).To(BeEmpty())
	g.Expect(m.fallbacks).To(Equal([]string{"mirror origin not_found"}))
	g.Expect(m.origin.Count(registrytest.Referrers)).To(Equal(1))
	m.origin.PushManifest(t, "app", "signature", manifestType,
		[]byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":1}}`, manifestType, manifestType, subject)))
	g.Expect(m.Referrers(t.Context(), m.img, subject, AuthOptions{})).To(HaveLen(1))
	m.origin.Inject(registrytest.Any, registrytest.Status(500, ""))
	_, err = m.Referrers(t.Context(), m.img, subject, AuthOptions{})
	g.Expect(err).To(MatchError(And(ContainSubstring("500"), ContainSubstring("has no referrers of that digest"))))
}
