// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// selector selects the latest tag of a policy.
type selector interface {
	// selectBest returns the best listed tag, or nil.
	selectBest(ctx context.Context) (*selected, error)
	// selectTag returns the best tag, or nil, if one that is not listed is added to the listed ones.
	selectTag(ctx context.Context, tag string) (*selected, error)
	// noneSelected returns the error that explains why no tag is selected.
	noneSelected() error
}

// selected is a selected tag.
type selected struct {
	tag string
	// digest is the digest that passed the gates, empty without gates.
	digest string
	// info is what is known about the image that passed the gates, zero without gates.
	info admission.ImageInfo
	// after is the time until the result may change without an event of a watch, zero for never.
	after time.Duration
}

func (s *selected) choice() *selection.Choice {
	if s == nil {
		return nil
	}
	return &selection.Choice{Tag: s.tag}
}

// newSelector returns the selector of a policy. Without gates, it reads no images.
func (w *Worker) newSelector(
	ctx context.Context, policy *v1.ImagePolicy, rule *selection.Rule, source tagSource, remote *registryReader,
) (selector, error) {
	tags := &plainSelector{policy: policy, rule: rule, source: source}
	if policy.Spec.HasGates() {
		return w.newGatedSelector(ctx, tags, remote)
	}
	policy.Status.Candidates = nil
	return tags, nil
}

// plainSelector selects by the rule only.
type plainSelector struct {
	policy *v1.ImagePolicy
	rule   *selection.Rule
	source tagSource
}

func (s *plainSelector) selectBest(ctx context.Context) (*selected, error) {
	selector := s.rule.NewAccumulator()
	if filtered := s.source.filtered; filtered.known { // createdTimes has matched the filter already
		selector = s.rule.OfMatching().NewAccumulator()
		selector.Add(filtered.tags)
	} else if err := s.source.forEachBatch(ctx, selector.Add); err != nil {
		return nil, err
	}
	if choice, found := selector.Best(); found {
		return &selected{tag: choice.Tag}, nil
	}
	return nil, nil
}

func (s *plainSelector) selectTag(_ context.Context, tag string) (*selected, error) {
	return &selected{tag: tag}, nil
}

func (s *plainSelector) noneSelected() error {
	return conditions.Waiting(v1.NoTagSelectedReason, s.policy.GetInterval(), noTagError(s.rule, s.source))
}

func noTagError(rule *selection.Rule, source tagSource) error {
	if len(source.snapshot.Tags) == 0 {
		return fmt.Errorf("no tag selected: image '%s' has no image tags, or spec.exclusionList of ImageRepository '%s/%s' "+
			"excludes all of them", source.snapshot.Image, source.repo.Namespace, source.repo.Name)
	}
	example := rule.Evaluate(source.snapshot.Latest(1)[0])
	return fmt.Errorf("no tag selected: none of the %d tags of image '%s' is accepted by the policy (%s): '%s', for example, %s; "+
		"correct spec.policy or spec.filterTags, or push a tag that is accepted",
		len(source.snapshot.Tags), source.snapshot.Image, rule, example.Tag, example.Reason)
}

// selectBatch is the number of tags that are processed between two checks of the context: a
// filterTags.pattern can take milliseconds per tag.
const selectBatch = 64

// forEachBatch calls process with all tags in batches. It fails if that takes longer than the
// timeout of the repository, or if ctx ends.
func (s tagSource) forEachBatch(ctx context.Context, process func(tags []string)) error {
	ctx, cancel := context.WithTimeout(ctx, s.repo.GetTimeout())
	defer cancel()
	for batch := range slices.Chunk(s.snapshot.Tags, selectBatch) {
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no tag was selected within %s, the timeout of ImageRepository '%s/%s' with its %d tags: "+
				"simplify the regular expression in spec.filterTags.pattern, or raise spec.timeout of the ImageRepository",
				s.repo.GetTimeout(), s.repo.Namespace, s.repo.Name, len(s.snapshot.Tags))
		} else if err != nil {
			return err
		}
		process(batch)
	}
	return nil
}

// filteredTags caches the tags that pass the filter of a policy's rule during a reconcile.
type filteredTags struct {
	tags  []string
	known bool
}

// matchingTags returns the tags that pass the filter of the rule, which is the same in each call.
// Its range is not checked yet. The caller must not modify the tags.
func (s tagSource) matchingTags(ctx context.Context, rule *selection.Rule) ([]string, error) {
	if s.filtered.known {
		return s.filtered.tags, nil
	}
	var matching []string
	err := s.forEachBatch(ctx, func(batch []string) {
		for _, tag := range batch {
			if rule.MatchesFilter(tag) {
				matching = append(matching, tag)
			}
		}
	})
	if err == nil {
		*s.filtered = filteredTags{matching, true}
	}
	return matching, err
}
