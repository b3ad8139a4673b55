// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
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
	client *http.Client
	now    func() time.Time
	turn   chan struct{} // to download

	mu     sync.Mutex
	held   *root.TrustedRoot // nil for none
	got    time.Time         // when held was downloaded
	tried  time.Time         // when a download failed last
	failed error             // how
}

// PublicRootOption changes a PublicRoot that is being made.
type PublicRootOption func(*PublicRoot)

// WithFolder keeps what was downloaded in a folder too. After a restart less
// is downloaded then.
func WithFolder(folder string) PublicRootOption { return func(p *PublicRoot) { p.folder = folder } }

// WithMirror downloads from another TUF repository, of which anchor is the
// root.json.
func WithMirror(url string, anchor []byte) PublicRootOption {
	return func(p *PublicRoot) { p.mirror, p.anchor = url, func() []byte { return anchor } }
}

// NewPublicRoot returns a PublicRoot that has downloaded nothing yet.
func NewPublicRoot(opts ...PublicRootOption) *PublicRoot {
	p := &PublicRoot{
		mirror: tuf.DefaultMirror,
		anchor: tuf.DefaultRoot,
		client: &http.Client{Timeout: rootTimeout},
		now:    time.Now,
		turn:   make(chan struct{}, 1),
	}
	for _, opt := range opts {
		opt(p)
	}
	return p
}

// Get returns the trusted root. It fails with an *UnavailableError.
func (p *PublicRoot) Get(ctx context.Context) (*root.TrustedRoot, error) {
	if held, err := p.recall(); held != nil || err != nil {
		return held, err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, p.unavailable(ctx.Err())
	}
	if held, err := p.recall(); held != nil || err != nil { // someone else has downloaded it
		return held, err
	}
	fetched, err := p.download(ctx)
	return p.keep(ctx, fetched, err)
}

// recall returns what is held, or how the last download failed, as long as no
// download is due.
func (p *PublicRoot) recall() (*root.TrustedRoot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch {
	case p.held != nil && now.Sub(p.got) < rootFresh:
		return p.held, nil
	case p.failed == nil || now.Sub(p.tried) >= rootPause:
		return nil, nil
	case p.held != nil && now.Sub(p.got) < rootStale:
		return p.held, nil
	default:
		return nil, p.failed
	}
}

// keep notes the outcome of a download, and returns what to use. That a caller
// gave up is no fault of the mirror, so others are free to try.
func (p *PublicRoot) keep(ctx context.Context, fetched *root.TrustedRoot, err error) (*root.TrustedRoot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if err == nil {
		p.held, p.got, p.failed = fetched, now, nil
		return fetched, nil
	}
	failed := p.unavailable(err)
	if ctx.Err() == nil {
		p.failed, p.tried = failed, now
	}
	if p.held != nil && now.Sub(p.got) < rootStale {
		return p.held, nil
	}
	return nil, failed
}

// download gets the trusted root by TUF.
func (p *PublicRoot) download(ctx context.Context) (*root.TrustedRoot, error) {
	ctx, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	client, err := tuf.New(&tuf.Options{
		Root:              p.anchor(),
		RepositoryBaseURL: p.mirror,
		CachePath:         p.folder,
		DisableLocalCache: p.folder == "",
		Fetcher:           &fetcher{ctx: ctx, client: p.client},
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
	switch {
	case errors.Is(err, context.Canceled):
		return &UnavailableError{detail: detail, err: context.Canceled}
	case errors.Is(err, context.DeadlineExceeded):
		return &UnavailableError{detail: detail, err: context.DeadlineExceeded}
	default:
		return &UnavailableError{detail: detail}
	}
}
