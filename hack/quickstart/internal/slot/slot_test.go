// SPDX-License-Identifier: Apache-2.0

package slot

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

// doNothing has the test binary wait for the end of its input, under any name.
const doNothing = "SLOT_TEST_DO_NOTHING"

func TestMain(m *testing.M) {
	if os.Getenv(doNothing) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestSlotsDoNotCollide(t *testing.T) {
	g := NewWithT(t)
	base := t.TempDir()
	first, err := Acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	second, err := Acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]int{first.Number, second.Number}).To(Equal([]int{1, 2}))
	g.Expect(Held(base)).To(HaveLen(2))

	g.Expect(os.WriteFile(filepath.Join(first.Dir, "log"), nil, 0o600)).To(Succeed())
	g.Expect(first.Release(true)).To(Succeed())
	g.Expect(filepath.Join(first.Dir, "log")).To(BeARegularFile(), "a log that was kept is there until the slot is needed")
	again, err := Acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.Number).To(Equal(1))
	g.Expect(filepath.Join(again.Dir, "log")).NotTo(BeAnExistingFile())

	g.Expect(second.Release(false)).To(Succeed())
	g.Expect(second.Dir).NotTo(BeADirectory())
	held, err := Held(base)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(held).To(HaveLen(1))
	g.Expect(again.Release(false)).To(Succeed())
}

func TestOnlyOurProgramsAreKilled(t *testing.T) {
	g := NewWithT(t)
	base := t.TempDir()
	left := program(t, "etcd", filepath.Join(base, "1", "data"))
	other := program(t, "etcd", filepath.Join(t.TempDir(), "data"))
	reader := program(t, "less", filepath.Join(base, "1", "log"))
	lock, err := os.Create(filepath.Join(base, "1.lock")) // what a dead run leaves
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(lock.Close()).To(Succeed())
	g.Expect(Leftovers(filepath.Join(base, "1"))).To(ConsistOf(left.Process.Pid))

	slot, err := Acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(slot.Release(false)).To(Succeed()) }()

	g.Expect(left.Wait()).To(MatchError("signal: killed"))
	for _, spared := range []*exec.Cmd{other, reader} {
		g.Expect(spared.Process.Kill()).To(Succeed(), "it must still run")
		g.Expect(spared.Wait()).To(MatchError("signal: killed"))
	}
}

// program starts a process with that name and argument, which does nothing.
func program(t *testing.T, name, argument string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], argument)
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), doNothing+"=1")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { input.Close() })
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}
