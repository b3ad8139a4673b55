// SPDX-License-Identifier: Apache-2.0

package tagstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
	"github.com/fluxcd/image-reflector-controller/internal/tagstore/tagstoretest"
)

func openIn(dir string, opts ...tagstore.Option) func(context.Context) (tagstore.Store, error) {
	return openWithin(dir, 50*time.Millisecond, opts...)
}

func openWithin(dir string, timeout time.Duration, opts ...tagstore.Option) func(context.Context) (tagstore.Store, error) {
	return func(ctx context.Context) (tagstore.Store, error) {
		return tagstore.OpenBolt(dir, append(opts, tagstore.WithDone(ctx.Done()), tagstore.WithLockTimeout(timeout))...)
	}
}

func TestLazy(t *testing.T) {
	tagstoretest.Run(t, func(t testing.TB, opts ...tagstore.Option) tagstore.Store {
		return tagstore.NewLazy(openIn(t.TempDir(), opts...))
	})
}

// TestLazyLeavesTheFileToTheLeader shows that a replica which stands by neither
// makes nor locks the file, and finds what the leader left once it uses it.
func TestLazyLeavesTheFileToTheLeader(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	standby := tagstore.NewLazy(openIn(dir))
	_, err := os.Stat(filepath.Join(dir, "tags.db"))
	g.Expect(err).To(MatchError(os.ErrNotExist))

	leader, err := tagstore.OpenBolt(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(leader.Close()).To(Succeed())
	_, err = standby.Keys(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(standby.Close()).To(Succeed())
}

func TestLazyTellsWhyItCantBeOpened(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	holder, err := tagstore.OpenBolt(dir)
	g.Expect(err).NotTo(HaveOccurred())
	waiting := tagstore.NewLazy(openIn(dir))
	_, err = waiting.Keys(t.Context())
	g.Expect(err).To(MatchError(tagstore.ErrLocked))
	g.Expect(holder.Close()).To(Succeed())
	_, err = waiting.Keys(t.Context())
	g.Expect(err).To(MatchError(tagstore.ErrLocked), "the process ends by the first error")
	g.Expect(waiting.Close()).To(Succeed())
}

// TestLazyThatWaitsForItsFile shows that neither who uses it nor who closes it
// has to wait as long as another process has the file.
func TestLazyThatWaitsForItsFile(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	holder, err := tagstore.OpenBolt(dir)
	g.Expect(err).NotTo(HaveOccurred())
	waiting := tagstore.NewLazy(openWithin(dir, time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = waiting.Keys(ctx)
	g.Expect(err).To(MatchError(context.DeadlineExceeded))
	start := time.Now()
	g.Expect(waiting.Close()).To(Succeed())
	g.Expect(waiting.Close()).To(Succeed())
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	_, err = waiting.Keys(t.Context())
	g.Expect(err).To(MatchError(tagstore.ErrClosed))
	g.Expect(holder.Close()).To(Succeed())

	patient := tagstore.NewLazy(openWithin(dir, time.Minute))
	over, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	_, err = patient.Keys(over)
	g.Expect(err).NotTo(HaveOccurred())
	cancel()
	_, err = patient.Keys(t.Context())
	g.Expect(err).NotTo(HaveOccurred(), "it stays open though its first user is gone")
	g.Expect(patient.Close()).To(Succeed())
}

func TestLazyThatWasNeverUsedIsNeverOpened(t *testing.T) {
	g := NewWithT(t)
	store := tagstore.NewLazy(func(context.Context) (tagstore.Store, error) { return nil, errors.New("opened") })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Keys(over)
	g.Expect(err).To(MatchError(context.Canceled))
	g.Expect(store.Close()).To(Succeed())
	_, err = store.Keys(t.Context())
	g.Expect(err).To(MatchError(tagstore.ErrClosed))
}
