// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// rootFresh is how long the public trusted root is used before it is refreshed.
	rootFresh = 24 * time.Hour
	// rootStale is how long it is used if refreshing it fails.
	rootStale = 7 * 24 * time.Hour
	// rootPause is the minimum time between a failed download and the next one.
	rootPause = time.Minute
	// rootTimeout bounds a download.
	rootTimeout = time.Minute
)

// PublicRoot caches the trusted root of the public Sigstore. It is downloaded with TUF
// when it is first needed, and then once a day. It is safe for concurrent use.
type PublicRoot struct {
	mirror string
	anchor func() []byte // the root of trust of TUF
	folder string        // "" caches in memory only
	now    func() time.Time

	lock        *semaphore.Weighted // held while downloading
	root        *root.TrustedRoot   // nil for none
	fetchedAt   time.Time           // when root was downloaded
	attemptedAt time.Time           // when the last failed download ended
	failed      error               // the error of the last failed download
}

// PublicRootOption configures a PublicRoot.
type PublicRootOption func(*PublicRoot)

// WithFolder caches the downloaded files in a folder, too, for the next start.
func WithFolder(folder string) PublicRootOption { return func(p *PublicRoot) { p.folder = folder } }

// NewPublicRoot returns an empty PublicRoot.
func NewPublicRoot(opts ...PublicRootOption) *PublicRoot {
	p := &PublicRoot{mirror: tuf.DefaultMirror, anchor: tuf.DefaultRoot, now: time.Now, lock: semaphore.NewWeighted(1)}
	for _, opt := range opts {
		opt(p)
	}
	return p
}

// Get returns the trusted root. It fails with an *UnavailableError.
func (p *PublicRoot) Get(ctx context.Context) (*root.TrustedRoot, error) {
	if err := p.lock.Acquire(ctx, 1); err != nil {
		return nil, p.unavailable(err)
	}
	defer p.lock.Release(1)
	if now := p.now(); now.Sub(p.fetchedAt) >= rootFresh && now.Sub(p.attemptedAt) >= rootPause {
		p.refresh(ctx)
	}
	if p.root != nil && p.now().Sub(p.fetchedAt) < rootStale {
		return p.root, nil
	}
	return nil, p.failed
}

// refresh downloads the trusted root, and records a failure. If the caller's context
// ended, that is no failure of the mirror, so the next caller retries at once.
func (p *PublicRoot) refresh(ctx context.Context) {
	fetched, err := p.download(ctx)
	switch {
	case err == nil:
		p.root, p.fetchedAt = fetched, p.now()
		return
	case ctx.Err() == nil:
		p.attemptedAt = p.now()
	}
	p.failed = p.unavailable(err)
}

// download downloads the trusted root with TUF.
func (p *PublicRoot) download(ctx context.Context) (*root.TrustedRoot, error) {
	ctx, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	httpFetcher := fetcher.NewDefaultFetcher()
	httpFetcher.SetHTTPClient(&http.Client{Transport: transport.Func(func(req *http.Request) (*http.Response, error) {
		return http.DefaultTransport.RoundTrip(req.WithContext(ctx)) // the library's requests have no context
	})})
	client, err := tuf.New(&tuf.Options{
		Root:              p.anchor(),
		RepositoryBaseURL: p.mirror,
		CachePath:         p.folder,
		DisableLocalCache: p.folder == "",
		Fetcher:           httpFetcher,
	})
	if err != nil {
		return nil, err
	}
	text, err := client.GetTarget(trustedRootKey)
	if err != nil {
		return nil, err
	}
	return parseTrustedRoot(text)
}

// unavailable returns the error about a failed download. It leaves out the library's
// text, which differs between attempts.
func (p *PublicRoot) unavailable(err error) error {
	detail := fmt.Sprintf("the public trusted root of Sigstore can't be downloaded: "+
		"let the controller reach %s, or name a Secret with a trusted root in spec.verify.trustedRootSecretRef", p.mirror)
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			return &UnavailableError{detail: detail, err: cause}
		}
	}
	return &UnavailableError{detail: detail}
}
