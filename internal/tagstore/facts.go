// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

const (
	// FactGrace is how long the facts of a tag are kept after a snapshot came
	// without it. Registries sometimes answer with a list that lacks tags which
	// exist, and when a tag was first seen with its digest can't be learned again.
	FactGrace = 7 * 24 * time.Hour

	// MaxFactText is how many bytes a text of a fact may have: a tag, a digest, a
	// platform, and what a verdict says.
	MaxFactText = 1024
	// MaxPlatforms is how many platforms a fact may have.
	MaxPlatforms = 256
)

// FactReader reads what is known of images. Facts are a cache: nothing held is
// no error, and a fact may be gone at any time.
type FactReader interface {
	// Facts returns all facts held for key, by tag.
	Facts(ctx context.Context, key Key) (map[string]admission.Fact, error)
	// Fact returns those of some tags. It costs much less.
	Fact(ctx context.Context, key Key, tags ...string) (map[string]admission.Fact, error)
}

// FactStore keeps, beside the snapshot of a key, one fact for each tag. Facts
// live as long as the snapshot: they go with it, and with its image. The facts of
// a tag that is not in the snapshot any more are removed by the next Put that
// changes the tags when FactGrace is over.
type FactStore interface {
	FactReader

	// PutFacts replaces the facts of the given tags, and leaves all others. It is
	// atomic, and durable when it returns without an error. Facts equal to those
	// held are not written again. Without a snapshot for key the error is
	// ErrNotFound. It wraps ErrInvalid for a fact beyond the bounds above or
	// admission.MaxVerdicts, and ErrTooLarge where key would have more than
	// MaxTags facts: those of tags that are gone make room first.
	PutFacts(ctx context.Context, key Key, facts map[string]admission.Fact) error
}

// validateFacts returns an error that wraps ErrInvalid when facts can't be stored.
func validateFacts(facts map[string]admission.Fact) error {
	for _, tag := range slices.Sorted(maps.Keys(facts)) {
		if problem := problemOf(tag, facts[tag]); problem != "" {
			return fmt.Errorf("%w: the fact of tag %.80q has %s", ErrInvalid, tag, problem)
		}
	}
	return nil
}

func problemOf(tag string, fact admission.Fact) string {
	if len(fact.Verdicts) > admission.MaxVerdicts {
		return fmt.Sprintf("%d verdicts, at most %d are kept", len(fact.Verdicts), admission.MaxVerdicts)
	}
	if len(fact.Platforms) > MaxPlatforms {
		return fmt.Sprintf("%d platforms, at most %d are kept", len(fact.Platforms), MaxPlatforms)
	}
	if fact.CreatedBy > admission.LastCreatedBy {
		return fmt.Sprintf("the source %d of its time of creation, which is not known", fact.CreatedBy)
	}
	texts := append([]string{tag, fact.Digest}, fact.Platforms...)
	for _, v := range fact.Verdicts {
		texts = append(texts, v.Rule, v.Signer, v.Problem)
	}
	for _, text := range texts {
		if len(text) > MaxFactText {
			return fmt.Sprintf("a text of %d bytes, at most %d are kept", len(text), MaxFactText)
		}
	}
	return ""
}

// errTooManyFacts says that a key would have more facts than are kept.
func errTooManyFacts(facts, limit int64) error {
	return fmt.Errorf("%w: facts of %d tags, at most %d are kept", ErrTooLarge, facts, limit)
}

// goneFor is what becomes of the facts of a tag that is not in the snapshot.
type goneFor int

const (
	goneNew  goneFor = iota // from now on it is gone
	goneStay                // it is kept
	goneOver                // it is removed
)

// graceOf tells what becomes of facts of a tag that was first missed at since, if
// it was missed before. A time to come is of a clock that was wrong.
func graceOf(since int64, missed bool, now int64) goneFor {
	switch {
	case !missed || since > now:
		return goneNew
	case now-since > int64(FactGrace/time.Second):
		return goneOver
	}
	return goneStay
}
