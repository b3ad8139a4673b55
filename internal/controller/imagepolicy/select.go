// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// selector looks for the best tag of a policy.
type selector interface {
	// selectBest returns it, nil where there is none.
	selectBest(ctx context.Context) (*selected, error)
	// selectTag returns a tag that is not listed, nil where it does not pass.
	selectTag(ctx context.Context, tag string) (*selected, error)
	// noneSelected says why there is none.
	noneSelected() error
}

// selected is what a policy selects.
type selected struct {
	tag string
	// digest is the one that was judged, empty where none was.
	digest string
	// nextCheck is when something else may be selected, zero where only a watch tells.
	after time.Duration
}

func (p *selected) choice() *selection.Choice {
	if p == nil {
		return nil
	}
	return &selection.Choice{Tag: p.tag}
}

// selector begins a search. Where there are no gates, no image is judged, and nothing
// but the tags counts.
func (w *Worker) newSelector(
	ctx context.Context, policy *v1.ImagePolicy, rule *selection.Rule, from tagSource, remote *registryReader,
) (selector, error) {
	tags := &plainSelector{policy: policy, rule: rule, source: from}
	if policy.Spec.HasGates() {
		return w.newGatedSelector(ctx, tags, remote)
	}
	policy.Status.Candidates = nil
	return tags, nil
}

// plainSelector looks for the tag that the rule selects.
type plainSelector struct {
	policy *v1.ImagePolicy
	rule   *selection.Rule
	source tagSource
}

func (t *plainSelector) selectBest(ctx context.Context) (*selected, error) {
	selector := t.rule.Selector()
	if err := t.source.inSteps(ctx, selector.Add); err != nil {
		return nil, err
	}
	if choice, found := selector.Best(); found {
		return &selected{tag: choice.Tag}, nil
	}
	return nil, nil
}

func (t *plainSelector) selectTag(_ context.Context, tag string) (*selected, error) {
	return &selected{tag: tag}, nil
}

func (t *plainSelector) noneSelected() error {
	return conditions.Waiting(v1.NoTagSelectedReason, t.policy.GetInterval(), noTag(t.rule, t.source))
}

func noTag(rule *selection.Rule, from tagSource) error {
	if len(from.snapshot.Tags) == 0 {
		return fmt.Errorf("no tag selected: image '%s' has no tags of images, or spec.exclusionList of ImageRepository '%s/%s' "+
			"leaves all of them out", from.snapshot.Image, from.repo.Namespace, from.repo.Name)
	}
	example := rule.Judge(from.snapshot.Latest(1)[0])
	return fmt.Errorf("no tag selected: none of the %d tags of image '%s' is accepted by the policy (%s): '%s', for one, %s; "+
		"correct spec.policy or spec.filterTags, or push a tag that is accepted",
		len(from.snapshot.Tags), from.snapshot.Image, rule, example.Tag, example.Reason)
}

// selectBatch is how many tags are looked at between two looks at the clock: a
// filterTags.pattern can take milliseconds for each.
const selectBatch = 64

// inSteps looks at the tags, some of them at a time. That takes no longer than a scan of the
// repository may, and ends with ctx.
func (o tagSource) inSteps(ctx context.Context, look func(tags []string)) error {
	ctx, cancel := context.WithTimeout(ctx, o.repo.GetTimeout())
	defer cancel()
	for some := range slices.Chunk(o.snapshot.Tags, selectBatch) {
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no tag was selected within %s, the timeout of ImageRepository '%s/%s' with its %d tags: "+
				"simplify the regular expression in spec.filterTags.pattern, or raise spec.timeout of the ImageRepository",
				o.repo.GetTimeout(), o.repo.Namespace, o.repo.Name, len(o.snapshot.Tags))
		} else if err != nil {
			return err
		}
		look(some)
	}
	return nil
}
