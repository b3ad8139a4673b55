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
	// rootFresh is how long the public trusted root is used without a question
	// whether there is a newer one.
	rootFresh = 24 * time.Hour
	// rootStale is how long it is used where no newer one can be had.
	rootStale = 7 * 24 * time.Hour
	// rootPause is how long a failed download is not tried again.
	rootPause = time.Minute
	// rootTimeout bounds a download.
	rootTimeout = time.Minute
)

// PublicRoot is the trusted root of the public Sigstore. It is downloaded by TUF
// when it is needed for the first time, and once a day after that. Rules that don't
// need it cost nothing. It is safe for concurrent use.
type PublicRoot struct {
	mirror string
	anchor func() []byte // the root of TUF, by which everything is checked
	folder string        // "" keeps it in memory only
	now    func() time.Time

	lock        *semaphore.Weighted // root while downloading
	root        *root.TrustedRoot   // nil for none
	fetchedAt   time.Time           // when held was downloaded
	attemptedAt time.Time           // when a download failed last
	failed      error               // how
}

// PublicRootOption changes a PublicRoot that is being made.
type PublicRootOption func(*PublicRoot)

// WithFolder keeps what was downloaded in a folder too. After a restart less
// is downloaded then.
func WithFolder(folder string) PublicRootOption { return func(p *PublicRoot) { p.folder = folder } }

// NewPublicRoot returns a PublicRoot that has downloaded nothing yet.
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

// refresh downloads the trusted root. That a caller gave up is no fault of the mirror,
// so the next one tries again.
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

// download gets the trusted root by TUF.
func (p *PublicRoot) download(ctx context.Context) (*root.TrustedRoot, error) {
	ctx, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	requests := fetcher.NewDefaultFetcher()
	requests.SetHTTPClient(&http.Client{Transport: transport.Func(func(req *http.Request) (*http.Response, error) {
		return http.DefaultTransport.RoundTrip(req.WithContext(ctx)) // the library's requests have none
	})})
	client, err := tuf.New(&tuf.Options{
		Root:              p.anchor(),
		RepositoryBaseURL: p.mirror,
		CachePath:         p.folder,
		DisableLocalCache: p.folder == "",
		Fetcher:           requests,
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

// unavailable says that the trusted root can't be had. The library's words
// differ from one attempt to the next, and are left out.
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
