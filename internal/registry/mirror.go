// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
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
	// tried, nil if there is only the origin.
	Hosts(image.Name) []mirrors.Host
}

// Fallback is an operation for which the next host was asked because a mirror did not have
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
// each mirror and reason.
func LimitFallbacks(report func(Fallback)) func(Fallback) {
	type key struct{ mirror, reason string }
	var mu sync.Mutex
	limits := map[key]*rate.Sometimes{}
	return func(f Fallback) {
		k := key{f.Mirror, f.Reason}
		mu.Lock()
		defer mu.Unlock()
		if limits[k] == nil {
			limits[k] = &rate.Sometimes{Interval: time.Minute}
		}
		limits[k].Do(func() { report(f) })
	}
}

// mirrorsOf returns the hosts of an image repository, nil if there is only the origin.
//
// A mirror gets neither the credentials, nor the certificates or the proxy of the origin.
func (c *Client) mirrorsOf(access Access) []*host {
	found := c.mirrors.Hosts(access.Image)
	if len(found) > 0 && access.Granted != nil {
		access.Granted = sync.OnceFunc(access.Granted)
	}
	hosts := make([]*host, 0, len(found))
	for _, m := range found {
		h := &host{client: c, access: access, mirror: &m, lock: semaphore.NewWeighted(1)}
		if !m.Origin {
			h.access.Image, h.access.Proxy = m.Image, ""
			h.access.Auth = func(ctx context.Context) (AuthOptions, error) { return access.mirrorAuth(ctx, m) }
		}
		hosts = append(hosts, h)
	}
	if len(hosts) == 0 {
		return nil
	}
	return hosts
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

// attempt is a failed operation at a host.
type attempt struct {
	*host
	err *Error
}

// runAtMirrors runs an operation at each host until one succeeds.
func runAtMirrors[T any](ctx context.Context, r *Repository, op operation, do func(context.Context, *reader) (T, error)) (T, error) {
	var none T
	var failed []attempt
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
		failed = append(failed, attempt{h, err})
		if len(rest) == 0 || ctx.Err() != nil {
			break
		}
		h.fallBack(ctx, op, err, rest[0])
	}
	if len(failed) == 0 {
		return none, op.fail(errNoHost)
	}
	return none, combine(failed)
}

// errNoHost is the error about an operation without a host.
const errNoHost = transport.ProtocolError("none of its mirrors has the capability: " +
	"add resolve, for tags, or pull, for digests, in the file of --registry-mirrors")

// runInShare runs an operation at one of a number of hosts that are left. Each gets the
// same share of the time, so that a host that does not respond leaves time for the others.
func runInShare[T any](
	ctx context.Context, h *host, op operation, left int, do func(context.Context, *reader) (T, error),
) (T, error) {
	if deadline, bounded := ctx.Deadline(); bounded && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	if !h.mirror.Origin {
		op.mirror = h.access.Image
	}
	return runAt(ctx, h, op, func(ctx context.Context, r *reader) (T, error) {
		result, err := do(ctx, r)
		if !h.mirror.Origin && isUnreachable(ctx, err) {
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

// knownFailure returns the failure because of which a mirror is not asked, nil if there is
// none: an earlier operation of the same Repository failed, or no connection can be made.
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

// fallBack records that the next host is asked. If a mirror fails otherwise than by not
// having the content, its ticket is released, and the other operations of the Repository
// do not ask it.
func (h *host) fallBack(ctx context.Context, op operation, err *Error, next *host) {
	if !errors.Is(err, ErrNotFound) && h.failure.CompareAndSwap(nil, err) {
		h.close(ctx)
	}
	reason := fallbackReason(err)
	h.client.metrics.fallbacks.WithLabelValues(h.client.metrics.label(limiterHost(h.access.Image)), reason).Inc()
	if h.client.onFallback != nil {
		h.client.onFallback(Fallback{
			Image: op.image, Mirror: h.access.Image.Host(), Next: next.access.Image.Host(), Reason: reason, Err: err,
		})
	}
}

// fallbackReason returns the metric label of a mirror's failure.
func fallbackReason(err *Error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case err.RetryAfter > 0, err.StatusCode == http.StatusTooManyRequests:
		return "throttled"
	case err.StatusCode == http.StatusNotFound:
		return "not_found"
	case err.StatusCode == http.StatusUnauthorized, err.StatusCode == http.StatusForbidden:
		return "refused"
	default:
		return "error"
	}
}

// combine returns the error of an operation that failed at all hosts: the one of the last
// host, with those of the others. The content is not found only if the origin does not have
// it, or none of the hosts.
func combine(failed []attempt) error {
	main := len(failed) - 1
	if last := failed[main]; errors.Is(last.err, ErrNotFound) && !last.mirror.Origin {
		main = max(0, slices.IndexFunc(failed, func(a attempt) bool { return !errors.Is(a.err, ErrNotFound) }))
	}
	combined := *failed[main].err
	var others []string
	for i, a := range failed {
		if i != main {
			others = append(others, fmt.Sprintf("%s failed too: %s", a.access.Image.Host(), a.err.detail))
		}
	}
	combined.detail = strings.Join(append([]string{combined.detail}, others...), "; ")
	return &combined
}

// unreachableFor is how long a mirror is not asked after no connection could be made to it.
const unreachableFor = 30 * time.Second

// unreachableHosts has the mirrors to which no connection could be made recently, so that not
// each operation waits for a connection.
type unreachableHosts struct {
	mu    sync.Mutex
	hosts map[ratelimit.Key]unreachableHost
}

type unreachableHost struct {
	cause error
	until time.Time
}

// get returns the cause if no connection to a mirror could be made recently.
func (u *unreachableHosts) get(h *host) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if found := u.hosts[h.key()]; h.client.now().Before(found.until) {
		return found.cause
	}
	return nil
}

// add records that no connection to a mirror could be made.
func (u *unreachableHosts) add(h *host, cause error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hosts == nil || len(u.hosts) >= maxHostLabels {
		u.hosts = map[ratelimit.Key]unreachableHost{}
	}
	u.hosts[h.key()] = unreachableHost{cause: cause, until: h.client.now().Add(unreachableFor)}
}

// isUnreachable reports whether no connection could be made. It ignores the caller's
// timeout, which may be too short.
func isUnreachable(ctx context.Context, err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial" && ctx.Err() == nil
}
