// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"sync/atomic"
)

// capabilities caches what a session found out about the registry's support of
// paging and referrers. It is per repository, because one host may serve several
// registries.
type capabilities struct {
	noSize atomic.Bool  // the registry refuses the page size
	links  atomic.Int32 // whether pages have links to the next ones

	noReferrers atomic.Int64 // until when the referrers API is not tried, in Unix time
}

// The values of capabilities.links.
const (
	linksUnknown int32 = iota
	linksPresent
	linksMissing
)

// hasLinks reports whether a page without a link to a next one is the last page. It
// finds out once, by requesting a page of one tag from a repository with more. A
// registry that returns more than one ignores the page size, and so has no next page.
func (l *listOperation) hasLinks(ctx context.Context) (bool, error) {
	if links := l.capabilities.links.Load(); links != linksUnknown {
		return links == linksPresent, nil
	}
	p, err := l.page(ctx, l.pageAfter("", 1))
	if failureStatus(err) != 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	tags, err := parseTags(p.body, l.limits.Tags)
	if err != nil {
		return false, err
	}
	if p.next == nil && len(tags) <= 1 {
		l.capabilities.links.Store(linksMissing)
		return false, nil
	}
	l.capabilities.links.Store(linksPresent)
	return true, nil
}
