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

package tagstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// crashDir names the variable that makes this test binary a writer, which
// writes to the store in that directory until it is killed.
const crashDir = "TAGSTORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const crashKeys = 5

// crashWrite returns what the writer puts n-th: five keys in turn, with tags
// that tell n, and more or fewer of them each time.
func crashWrite(n int) (Key, scan.Snapshot) {
	s := scan.Snapshot{Image: "image", Since: int64(n)}
	for i := range n * 7919 % 3000 {
		s.Tags = append(s.Tags, fmt.Sprintf("%08d-%d", i, n))
		s.FirstSeen = append(s.FirstSeen, int64(n+i))
	}
	return Key{"ns", fmt.Sprintf("repo-%d", n%crashKeys), "uid"}, s
}

// writeForever puts snapshots, starting after the latest in the store, and
// prints the number of each one that is acknowledged.
func writeForever(dir string) error {
	store, err := OpenBolt(dir, WithReport(func(r Report) { fmt.Println("report:", r) }))
	if err != nil {
		return err
	}
	for n := latest(store) + 1; ; n++ {
		key, s := crashWrite(n)
		if err := store.Put(context.Background(), key, s); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// latest returns the number of the latest snapshot in the store.
func latest(store Store) int {
	n := int64(0)
	for i := range crashKeys {
		key, _ := crashWrite(i)
		if s, err := store.Get(context.Background(), key); err == nil {
			n = max(n, s.Since)
		}
	}
	return int(n)
}

// TestKill kills a writer again and again, at random times. All that it had
// acknowledged must be there, and at most one more.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	const seed = 20
	random := rand.New(rand.NewPCG(seed, seed))
	for round := range 12 {
		acknowledged := killWriter(t, dir, time.Duration(20+random.IntN(150))*time.Millisecond)
		store, reports := opened(t, dir)
		wantKinds(t, *reports)
		n := latest(store)
		if n < acknowledged || acknowledged > 0 && n > acknowledged+1 {
			t.Fatalf("round %d (seed %d): write %d is the latest, %d was acknowledged", round, seed, n, acknowledged)
		}
		for i := max(1, n-crashKeys+1); i <= n; i++ {
			key, want := crashWrite(i)
			if got, err := store.Get(t.Context(), key); err != nil || !got.Equal(want) {
				t.Fatalf("round %d (seed %d): write %d is lost: %v", round, seed, i, err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter lets a writer run for some time after its first write, or its
// start, and returns the number of the last write that it acknowledged.
func killWriter(t *testing.T, dir string, after time.Duration) int {
	t.Helper()
	writer := exec.CommandContext(t.Context(), os.Args[0])
	writer.Env = append(os.Environ(), crashDir+"="+dir)
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(after, func() { _ = writer.Process.Kill() })
	lines := bufio.NewReader(out)
	acknowledged := 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may be cut off: it does not count
		}
		if _, err := fmt.Sscan(line, &acknowledged); err != nil {
			t.Errorf("the writer said %q", strings.TrimSpace(line))
		}
	}
	var exit *exec.ExitError
	if err := writer.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return acknowledged
}
