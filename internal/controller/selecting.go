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

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// selectStep is how many tags are looked at between two looks at the clock: a
// filterTags.pattern can take milliseconds for each.
const selectStep = 64

// selected returns what the rule selects of the tags, nil for none. That takes no
// longer than a scan of the repository may, and ends with ctx.
func (o origin) selected(ctx context.Context, rule *selection.Rule) (*selection.Choice, error) {
	ctx, cancel := context.WithTimeout(ctx, o.repo.GetTimeout())
	defer cancel()
	selector := rule.Selector()
	for some := range slices.Chunk(o.snapshot.Tags, selectStep) {
		if err := ctx.Err(); err != nil {
			return nil, o.unselected(err)
		}
		selector.Add(some)
	}
	choice, found := selector.Best()
	if !found {
		return nil, nil
	}
	return &choice, nil
}

// unselected says why the selection was not brought to its end.
func (o origin) unselected(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("no tag was selected within %s, the timeout of ImageRepository '%s/%s' with its %d tags: "+
		"simplify the regular expression in spec.filterTags.pattern, or raise spec.timeout of the ImageRepository",
		o.repo.GetTimeout(), o.repo.Namespace, o.repo.Name, len(o.snapshot.Tags))
}
