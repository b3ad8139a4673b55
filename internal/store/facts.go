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
	// FactGrace is how long the facts of a tag are kept after a snapshot without the tag.
	// Registries sometimes omit existing tags from a list, and the time at which a tag was first
	// seen with its digest can't be determined again.
	FactGrace = 7 * 24 * time.Hour

	// MaxFactText is the maximum size in bytes of each text in a fact: tag, digest, platform, and
	// the texts of verdicts.
	MaxFactText = 1024
	// MaxPlatforms is the maximum number of platforms in a fact.
	MaxPlatforms = 256
)

// Facts returns all facts stored for key, by tag. The caller owns the map. One fact is stored per
// tag. Facts are a cache: they may be removed at any time, and it is no error if none are stored.
// They are removed together with the snapshot, and when its image changes. The facts of tags that
// are missing from the snapshot are removed by the next Put that changes the tags after FactGrace.
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

// FactsOf returns what Facts returns for the given tags, without reading a large log of facts
// completely. It may return all facts, and then true: if the log is small, or was read completely.
func (s *Store) FactsOf(ctx context.Context, key Key, tags ...string) (map[string]admission.ImageInfo, bool, error) {
	facts, all := map[string]admission.ImageInfo{}, true
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		log, err := f.factsOfSnapshot(tags...)
		if err == nil {
			facts, all = log.facts, !log.partial
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return facts, all, err
}

// PutFacts replaces the facts of the given tags, and keeps all others. It is atomic, and durable
// when it returns without an error. Facts that equal the stored ones are not written again. Without
// a snapshot for key the error is ErrNotFound. The error wraps ErrInvalid if a fact exceeds the
// limits above or admission.MaxVerdicts, and ErrTooLarge if key would have more than MaxTags facts
// even after removing those of missing tags.
func (s *Store) PutFacts(ctx context.Context, key Key, facts map[string]admission.ImageInfo) error {
	if err := validateFacts(facts); err != nil {
		return err
	}
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error { return f.putFacts(facts) })
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("storing facts of the images of %s: %w", key, err)
	}
	return err
}

func (f *objectFiles) putFacts(facts map[string]admission.ImageInfo) error {
	log, err := f.factsOfSnapshot(slices.Collect(maps.Keys(facts))...)
	if err != nil {
		return err
	}
	changes, err := log.merge(facts, f.maxFacts)
	if err != nil || len(facts) == 0 || changes.size() == 0 && f.state.factsDurable {
		return err
	}
	if log.partial && f.mustRewrite(log, changes) {
		f.indexes.drop(f.key) // so that all facts are read: the changes may be others after damage
		return f.putFacts(facts)
	}
	return f.writeFacts(log, changes)
}

// factsOfSnapshot returns the facts for the image of the snapshot, or ErrNotFound if there is no
// snapshot. Facts of another image will be replaced. With tags, it may return a partial log that
// has the facts of these tags.
func (f *objectFiles) factsOfSnapshot(tags ...string) (*factLog, error) {
	info, err := f.info()
	if err != nil {
		return nil, err
	}
	var log *factLog
	if len(tags) > 0 {
		log = f.indexedFacts(tags...)
	}
	if log == nil {
		log, err = f.readFacts()
	}
	if err == nil && log.image != info.Image {
		f.state.factsDurable = false
		log = newFactLog(info.Image)
	}
	return log, err
}

// updateFacts updates the facts before another snapshot is stored: it removes those of another
// image and records when tags with facts went missing.
func (f *objectFiles) updateFacts(previous Info, next scan.Snapshot) error {
	if f.state.factBytes.Load() == 0 {
		return nil
	}
	log, err := f.indexedFacts(), error(nil)
	if log == nil {
		log, err = f.readFacts()
	}
	if err != nil {
		return err
	}
	if log.image != previous.Image {
		return f.removeFacts()
	}
	if previous.Image != next.Image || previous.Revision == next.Revision() {
		return nil
	}
	changes := log.markMissing(next, f.options.Now().Unix())
	if changes.size() == 0 {
		return nil
	}
	if log.partial && f.mustRewrite(log, changes) {
		f.indexes.drop(f.key) // as in putFacts
		return f.updateFacts(previous, next)
	}
	return f.writeFacts(log, changes)
}

// readFacts reads the stored facts. A damaged file is set aside and replaced by its content before
// the damage.
func (f *objectFiles) readFacts() (*factLog, error) {
	log := newFactLog("")
	content, err := read(f.path + factsSuffix)
	if errors.Is(err, ErrNotFound) || err == nil && len(content) == 0 { // no facts are stored
		f.state.factsDurable = false
		f.state.factBytes.Store(0)
		return log, nil
	}
	if err == nil {
		if size := int64(len(content)); f.state.factBytes.Swap(size) != size { // another program wrote the file
			f.state.factsDurable = false
			f.indexes.drop(f.key)
		}
		if len(content) >= f.minIndexed && f.indexes.get(f.key) == nil {
			log.records = map[string]location{}
		}
		err = log.parse(f.key, content)
	}
	f.state.facts.Store(int64(len(log.facts)))
	if errors.Is(err, errDamaged) {
		if err := f.setAside(factsSuffix, FactsDamaged, err); err != nil {
			return nil, err
		}
		f.state.factsDurable = false
		return log, f.writeFacts(log, changes{})
	}
	if err == nil && log.records != nil {
		f.indexes.put(f.key, log)
	}
	return log, err
}

// mustRewrite reports whether the file must be rewritten to store changes. They are appended only
// to a file that this process has made durable, and that is not too long. Rewriting also repairs
// files after a killed process or a disk failure. It needs a log that is not partial.
func (f *objectFiles) mustRewrite(log *factLog, c changes) bool {
	return !f.state.factsDurable || log.isWasteful() || len(c.Facts) > maxAppended || f.state.factBytes.Load() > maxFile/2
}

// writeFacts applies and stores changes.
func (f *objectFiles) writeFacts(log *factLog, c changes) error {
	rewrite, size := f.mustRewrite(log, c), f.state.factBytes.Load()
	f.indexes.drop(f.key) // until the changes are stored; they modify its maps
	f.state.factsDurable = false
	log.apply(c)
	var content []byte
	var err error
	if rewrite {
		size = 0
		content, err = encodeLog(f.key, log, f.minIndexed)
	} else {
		content, err = encodeRecord(f.key, c)
		log.addToIndex(c, int(size), len(content))
	}
	if err != nil {
		return err
	}
	if err := f.write(factsSuffix, content, size); err != nil {
		return err
	}
	f.state.factsDurable = true
	f.state.factBytes.Store(size + int64(len(content)))
	f.state.facts.Store(int64(log.count()))
	if log.records != nil {
		f.indexes.put(f.key, log)
	}
	return nil
}

func (f *objectFiles) removeFacts() error {
	if err := os.Remove(f.path + factsSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f.indexes.drop(f.key)
	f.state.factsDurable = false
	f.state.factBytes.Store(0)
	f.state.facts.Store(0)
	return nil
}

// validateFacts returns an error that wraps ErrInvalid if facts can't be stored.
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
	maxLength := max(len(tag), len(fact.Digest), len(fact.Revision), len(fact.Source))
	for _, platform := range fact.Platforms {
		maxLength = max(maxLength, len(platform))
	}
	for _, v := range fact.Verdicts {
		maxLength = max(maxLength, len(v.Rule), len(v.Signer), len(v.Problem))
	}
	if maxLength > MaxFactText {
		return fmt.Sprintf("a text of %d bytes, at most %d are kept", maxLength, MaxFactText)
	}
	return ""
}
