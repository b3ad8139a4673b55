/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"context"
	"sync/atomic"
)

// capabilities is what a session learned about the registry's paging and
// referrers support. It is learned per repository: hosts that serve several
// registries under one name differ in it.
type capabilities struct {
	noSize atomic.Bool  // pages must not be asked to have a number of tags
	links  atomic.Int32 // whether next pages are named

	noReferrers atomic.Int64 // until when the referrers API is not tried, in Unix time
}

// Whether a registry names the next page where it cuts a list.
const (
	linksUnknown int32 = iota
	linksNamed
	linksMissing
)

// namesPages reports whether the registry names the next page where it cuts a
// list, so that a page without one is the last. It finds out once, by asking for
// one tag where there are more. A registry that sends more than was asked for
// cuts nothing either.
func (l *listing) namesPages(ctx context.Context) (bool, error) {
	if links := l.capabilities.links.Load(); links != linksUnknown {
		return links == linksNamed, nil
	}
	p, err := l.page(ctx, l.pageAfter("", 1))
	if _, answered := asStatus(err); answered {
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
	l.capabilities.links.Store(linksNamed)
	return true, nil
}
