// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
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

// Facts returns all facts held for key, by tag. The map is the caller's. Beside the
// snapshot of a key, one fact is kept for each tag. Facts are a cache: nothing held is no
// error, and a fact may be gone at any time. They live as long as the snapshot: they go
// with it, and with its image. The facts of a tag that is not in the snapshot any more are
// removed by the next Put that changes the tags when FactGrace is over.
func (s *Store) Facts(ctx context.Context, key Key) (map[string]admission.ImageInfo, error) {
	facts := map[string]admission.ImageInfo{}
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		log, err := f.factsOfSnapshot()
		if err == nil {
			facts = log.facts
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return facts, err
}

// PutFacts replaces the facts of the given tags, and leaves all others. It is atomic, and
// durable when it returns without an error. Facts equal to those held are not written
// again. Without a snapshot for key the error is ErrNotFound. It wraps ErrInvalid for a
// fact beyond the bounds above or admission.MaxVerdicts, and ErrTooLarge where key would
// have more than MaxTags facts: those of tags that are gone make room first.
func (s *Store) PutFacts(ctx context.Context, key Key, facts map[string]admission.ImageInfo) error {
	if err := validateFacts(facts); err != nil {
		return err
	}
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		log, err := f.factsOfSnapshot()
		if err != nil {
			return err
		}
		changes, err := log.merge(facts, f.maxFacts)
		if err != nil || len(facts) == 0 || changes.size() == 0 && f.state.factsDurable {
			return err
		}
		return f.writeFacts(log, changes)
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("storing facts of the images of %s: %w", key, err)
	}
	return err
}

// factsOfSnapshot returns what is held about the image of the snapshot, or ErrNotFound
// where there is no snapshot. Facts of another image are to be replaced.
func (f *objectFiles) factsOfSnapshot() (*factLog, error) {
	info, err := f.info()
	if err != nil {
		return nil, err
	}
	log, err := f.readFacts()
	if err == nil && log.image != info.Image {
		f.state.factsDurable = false
		log = newFactLog(info.Image)
	}
	return log, err
}

// updateFacts has the facts follow a snapshot that is about to replace one: those about
// another image than that go, and the times are noted at which tags with facts went.
func (f *objectFiles) updateFacts(before Info, next scan.Snapshot) error {
	if f.state.factBytes.Load() == 0 {
		return nil
	}
	log, err := f.readFacts()
	if err != nil {
		return err
	}
	if log.image != before.Image {
		return f.removeFacts()
	}
	if before.Image != next.Image || before.Revision == next.Revision() {
		return nil
	}
	changes := log.markGone(next, f.options.Now().Unix())
	if changes.size() == 0 {
		return nil
	}
	return f.writeFacts(log, changes)
}

// readFacts returns what is held of facts. A file that is damaged is set aside, and
// replaced by what it has before the damage.
func (f *objectFiles) readFacts() (*factLog, error) {
	log := newFactLog("")
	content, err := read(f.path + factsSuffix)
	if errors.Is(err, ErrNotFound) || err == nil && len(content) == 0 { // nothing was written yet
		f.state.factsDurable = false
		f.state.factBytes.Store(0)
		return log, nil
	}
	if err == nil {
		err = log.parse(f.key, content)
	}
	f.state.facts.Store(int64(len(log.facts)))
	if !errors.Is(err, errDamaged) {
		return log, err
	}
	if err := f.setAside(factsSuffix, FactsDamaged, err); err != nil {
		return nil, err
	}
	f.state.factsDurable = false
	return log, f.writeFacts(log, changes{})
}

// writeFacts makes changes durable. It appends them to a file that this process knows to
// be durable, unless that has become too long; otherwise it writes the file anew, which
// also ends what a process left that was killed, or a disk that failed.
func (f *objectFiles) writeFacts(log *factLog, c changes) error {
	log.apply(c)
	size := f.state.factBytes.Load()
	if !f.state.factsDurable || log.isWasteful() {
		size, c = 0, changes{Image: log.image, Facts: log.facts, Gone: log.gone}
	}
	f.state.factsDurable = false
	content, err := encodeRecord(f.key, c)
	if err != nil {
		return err
	}
	if size == 0 {
		content = append(slices.Clone(factsMagic), content...)
	}
	if err := f.write(factsSuffix, content, size); err != nil {
		return err
	}
	f.state.factsDurable = true
	f.state.factBytes.Store(size + int64(len(content)))
	f.state.facts.Store(int64(len(log.facts)))
	return nil
}

func (f *objectFiles) removeFacts() error {
	if err := os.Remove(f.path + factsSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f.state.factsDurable = false
	f.state.factBytes.Store(0)
	f.state.facts.Store(0)
	return nil
}

// validateFacts returns an error that wraps ErrInvalid when facts can't be stored.
func validateFacts(facts map[string]admission.ImageInfo) error {
	for _, tag := range slices.Sorted(maps.Keys(facts)) {
		if problem := problemOf(tag, facts[tag]); problem != "" {
			return fmt.Errorf("%w: the fact of tag %.80q has %s", ErrInvalid, tag, problem)
		}
	}
	return nil
}

func problemOf(tag string, fact admission.ImageInfo) string {
	if len(fact.Verdicts) > admission.MaxVerdicts {
		return fmt.Sprintf("%d verdicts, at most %d are kept", len(fact.Verdicts), admission.MaxVerdicts)
	}
	if len(fact.Platforms) > MaxPlatforms {
		return fmt.Sprintf("%d platforms, at most %d are kept", len(fact.Platforms), MaxPlatforms)
	}
	if fact.CreatedBy > admission.LastCreatedBy {
		return fmt.Sprintf("the source %d of its time of creation, which is not known", fact.CreatedBy)
	}
	longest := max(len(tag), len(fact.Digest))
	for _, platform := range fact.Platforms {
		longest = max(longest, len(platform))
	}
	for _, v := range fact.Verdicts {
		longest = max(longest, len(v.Rule), len(v.Signer), len(v.Problem))
	}
	if longest > MaxFactText {
		return fmt.Sprintf("a text of %d bytes, at most %d are kept", longest, MaxFactText)
	}
	return ""
}
