// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Mirrors has the hosts of image repositories.
type Mirrors interface {
	// Hosts returns the hosts of an image repository in the order in which they are
	// tried, nil if there is only the origin. It returns an empty slice if there is none.
	Hosts(image.Name) []mirrors.Host
}

// Fallback is an operation for which the next host was tried because a mirror did not have
// the content, or failed.
type Fallback struct {
	// Image is the image repository as written in its object.
	Image image.Name
	// Mirror and Next are the two hosts.
	Mirror, Next string
	// Reason is not_found, refused, throttled, timeout or error.
	Reason string
	// Err is the error of the mirror.
	Err error
}

// WithMirrors sets the mirrors of registries. onFallback is called for each fallback, must
// not block, and may be nil.
func WithMirrors(hosts Mirrors, onFallback func(Fallback)) ClientOption {
	return func(c *Client) { c.mirrors, c.onFallback = hosts, onFallback }
}

// LimitFallbacks returns a function that calls report for at most one fallback per minute for
// each mirror and reason. It leaves out not_found, which is no failure: mirrors have a part of
// the content.
func LimitFallbacks(report func(Fallback)) func(Fallback) {
	type key struct{ mirror, reason string }
	var mu sync.Mutex
	limits := map[key]*rate.Sometimes{}
	return func(f Fallback) {
		if f.Reason == reasonNotFound {
			return
		}
		k := key{f.Mirror, f.Reason}
		mu.Lock()
		defer mu.Unlock()
		if limits[k] == nil {
			limits[k] = &rate.Sometimes{Interval: time.Minute}
		}
		limits[k].Do(func() { report(f) })
	}
}

// hostsOf returns the hosts of an image repository: those of its registry's mirrors, or else
// the origin.
//
// A mirror gets neither the credentials, nor the certificates or the proxy of the origin.
func (c *Client) hostsOf(access Access) []*host {
	var found []mirrors.Host
	if c.mirrors != nil {
		found = c.mirrors.Hosts(access.Image)
	}
	if found == nil {
		return []*host{c.newHost(access, mirrors.Host{Origin: true, Resolve: true, Pull: true})}
	}
	if access.Granted != nil {
		access.Granted = sync.OnceFunc(access.Granted)
	}
	hosts := make([]*host, 0, len(found))
	for _, m := range found {
		h := c.newHost(access, m)
		if !m.Origin {
			h.access.Image, h.access.Proxy = m.Image, ""
			h.access.Auth = func(ctx context.Context) (AuthOptions, error) { return access.mirrorAuth(ctx, m) }
		}
		hosts = append(hosts, h)
	}
	return hosts
}

func (c *Client) newHost(access Access, m mirrors.Host) *host {
	return &host{client: c, access: access, mirror: m, lock: semaphore.NewWeighted(1)}
}

// mirrorAuth returns the identity for a mirror.
func (a Access) mirrorAuth(ctx context.Context, m mirrors.Host) (AuthOptions, error) {
	var auth AuthOptions
	if a.MirrorAuth != nil {
		var err error
		if auth, err = a.MirrorAuth(ctx, m.Image); err != nil {
			return AuthOptions{}, err
		}
	}
	auth.Transport, auth.CertOrigin, auth.ProxyOrigin = m.Transport, "", ""
	return auth, nil
}

// hostFailure is the failure of an operation at a host.
type hostFailure struct {
	*host
	err *Error
}

// runAtHosts runs an operation at each host until one succeeds.
func runAtHosts[T any](ctx context.Context, r *Repository, op operation, do func(context.Context, *reader) (T, error)) (T, error) {
	var none T
	var failed []hostFailure
	hosts := r.hostsFor(op)
	for i, h := range hosts {
		rest := hosts[i+1:]
		err := h.knownFailure(op)
		if err == nil || len(rest) == 0 {
			result, failure := runInShare(ctx, h, op, len(hosts)-i, do)
			var ok bool
			if err, ok = errors.AsType[*Error](failure); !ok { // nil, or a *ratelimit.BusyError
				return result, failure
			}
		}
		failed = append(failed, hostFailure{h, err})
		if len(rest) == 0 || ctx.Err() != nil {
			break
		}
		h.fallBack(ctx, op, err, rest[0])
	}
	if len(failed) == 0 {
		return none, op.fail(r.noHost())
	}
	return none, combine(failed, r.untried(hosts, failed))
}

// noHost returns the error about an operation without a host.
func (r *Repository) noHost() error {
	if len(r.hosts) == 0 {
		return transport.ProtocolError("the name of the image is too long for each of its mirrors: " +
			"shorten their paths, or add another mirror, in the file of --registry-mirrors")
	}
	return transport.ProtocolError("none of its mirrors has the capability: " +
		"add resolve, for tags, or pull, for digests, in the file of --registry-mirrors")
}

// runInShare runs an operation at one of a number of hosts that are left. Each gets the
// same share of the time, so that a host that does not respond leaves time for the others.
func runInShare[T any](
	ctx context.Context, h *host, op operation, left int, do func(context.Context, *reader) (T, error),
) (T, error) {
	share := ctx
	if deadline, bounded := ctx.Deadline(); bounded && left > 1 {
		var cancel context.CancelFunc
		share, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	if h.mirror.Origin {
		return runAt(share, h, op, do)
	}
	op.mirror = h.access.Image
	return runAt(share, h, op, func(share context.Context, r *reader) (T, error) {
		started := time.Now()
		result, err := do(share, r)
		if err != nil && ctx.Err() == nil && isUnreachable(err, time.Since(started)) {
			h.client.unreachable.add(h, err)
		}
		return result, err
	})
}

// hostsFor returns the hosts with the capability for an operation, each once.
func (r *Repository) hostsFor(op operation) []*host {
	var hosts []*host
	for _, h := range r.hosts {
		able := h.mirror.Resolve
		if op.digest != "" {
			able = h.mirror.Pull
		}
		if able && !slices.ContainsFunc(hosts, func(o *host) bool { return o.access.Image.Canonical() == h.access.Image.Canonical() }) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// knownFailure returns the failure because of which a mirror is not tried, nil if there is
// none: an earlier operation of the same Repository failed, or the mirror is unreachable.
func (h *host) knownFailure(op operation) *Error {
	if h.mirror.Origin {
		return nil
	}
	if cause := h.client.unreachable.get(h); cause != nil {
		op.mirror = h.access.Image
		failure, _ := errors.AsType[*Error](op.fail(cause))
		return failure
	}
	earlier := h.failure.Load()
	if earlier == nil {
		return nil
	}
	failure := *earlier
	failure.Op, failure.Image = op.verb, op.subject()
	return &failure
}

// fallBack records that the next host is tried. If a mirror fails otherwise than by not
// having the content, its ticket is released, and the other operations of the Repository
// do not try it.
func (h *host) fallBack(ctx context.Context, op operation, err *Error, next *host) {
	if !errors.Is(err, ErrNotFound) && h.failure.CompareAndSwap(nil, err) {
		h.close(ctx)
	}
	reason := fallbackReason(err)
	h.client.metrics.fallbacks.WithLabelValues(h.client.HostLabel(h.access.Image), reason).Inc()
	if h.client.onFallback != nil {
		h.client.onFallback(Fallback{
			Image: op.image, Mirror: h.access.Image.Host(), Next: next.access.Image.Host(), Reason: reason, Err: err,
		})
	}
}

// reasonNotFound is the reason of a fallback if a mirror does not have the content.
const reasonNotFound = "not_found"

// fallbackReason returns the metric label of a mirror's failure.
func fallbackReason(err *Error) string {
	switch {
	case errors.Is(err, ErrNotFound):
		return reasonNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case err.RetryAfter > 0, err.StatusCode == http.StatusTooManyRequests:
		return "throttled"
	case err.StatusCode == http.StatusUnauthorized, err.StatusCode == http.StatusForbidden:
		return "refused"
	default:
		return "error"
	}
}

// combine returns the error of an operation that failed at all hosts that were tried: the
// decisive one, with those of the others. The content may exist if a host has not been
// tried that is necessary to confirm that it does not.
func combine(failed []hostFailure, untried *host) error {
	main := decisive(failed)
	combined := *failed[main].err
	for i, f := range failed {
		if i != main {
			combined.detail += fmt.Sprintf("; %s failed too: %s", f.access.Image.Host(), f.err.detail)
		}
	}
	if untried != nil && errors.Is(&combined, ErrNotFound) {
		combined.err = nil
		combined.detail += fmt.Sprintf("; that is not conclusive, because registry %s was not tried: "+
			"check its capabilities in the file of --registry-mirrors, and spec.timeout", untried.access.Image.Host())
	}
	return &combined
}

// decisive returns the index of the origin's failure, or else of the last one, unless it is
// that a mirror does not have the content and another one failed otherwise.
func decisive(failed []hostFailure) int {
	if origin := slices.IndexFunc(failed, func(f hostFailure) bool { return f.mirror.Origin }); origin >= 0 {
		return origin
	}
	last := len(failed) - 1
	if !errors.Is(failed[last].err, ErrNotFound) {
		return last
	}
	return max(0, slices.IndexFunc(failed, func(f hostFailure) bool { return !errors.Is(f.err, ErrNotFound) }))
}

// untried returns the host that is necessary to confirm that content does not exist, but
// was not tried: the origin, or, if the file excludes it, any host with the capability. It
// returns nil if there is none.
func (r *Repository) untried(hosts []*host, failed []hostFailure) *host {
	isOrigin := func(h *host) bool { return h.mirror.Origin }
	tried := hosts[:len(failed)]
	if origin := slices.IndexFunc(r.hosts, isOrigin); origin >= 0 {
		if slices.ContainsFunc(tried, isOrigin) {
			return nil
		}
		return r.hosts[origin]
	}
	if len(tried) < len(hosts) {
		return hosts[len(tried)]
	}
	return nil
}

const (
	// unreachableFor is how long a mirror is not tried after it was unreachable.
	unreachableFor = 30 * time.Second
	// minWait is how long a mirror must have had to respond before it is unreachable for
	// all operations, so that a short spec.timeout of one object does not affect others.
	minWait = time.Second
)

// unreachableHosts has the mirrors that were unreachable recently, so that not each
// operation waits for them.
type unreachableHosts struct {
	mu    sync.Mutex
	hosts map[ratelimit.Key]unreachableHost
}

type unreachableHost struct {
	cause error
	until time.Time
}

// get returns the cause if a mirror was unreachable recently.
func (u *unreachableHosts) get(h *host) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if found := u.hosts[h.key()]; h.client.now().Before(found.until) {
		return found.cause
	}
	return nil
}

// add records that a mirror is unreachable, and deletes expired entries.
func (u *unreachableHosts) add(h *host, cause error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := h.client.now()
	maps.DeleteFunc(u.hosts, func(_ ratelimit.Key, found unreachableHost) bool { return !now.Before(found.until) })
	if u.hosts == nil {
		u.hosts = map[ratelimit.Key]unreachableHost{}
	}
	u.hosts[h.key()] = unreachableHost{cause: cause, until: now.Add(unreachableFor)}
}

// isUnreachable reports whether an error means that no connection can be made, or that
// there is no response in time.
func isUnreachable(err error, waited time.Duration) bool {
	if transport.IsTimeout(err) {
		return waited >= minWait
	}
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}
