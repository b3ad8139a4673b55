// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"sync/atomic"
)

// capabilities holds what a session learned about the registry's paging and referrers
// support. It is per repository, because one host may serve several registries.
type capabilities struct {
	refusesPageSize atomic.Bool  // whether the registry refuses the page size
	links           atomic.Int32 // whether pages have links to the next ones

	noReferrers atomic.Int64 // the Unix time until which the referrers API is not used
}

// The values of capabilities.links.
const (
	linksUnknown int32 = iota
	linksPresent
	linksMissing
)

// hasLinks reports whether a page without a link to a next one is the last page. The
// result is determined once, by requesting a page of one tag from a repository with more
// tags. A registry that returns more than one tag ignores the page size, and so has no
// next page.
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
