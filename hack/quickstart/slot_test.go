// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

func TestAcquire_AssignsFolderPerRun(t *testing.T) {
	g := NewWithT(t)
	base := t.TempDir()
	first, err := acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	second, err := acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]int{first.number, second.number}).To(Equal([]int{1, 2}))
	g.Expect(activeSlots(base)).To(HaveLen(2))

	g.Expect(os.WriteFile(filepath.Join(first.dir, "log"), nil, 0o600)).To(Succeed())
	g.Expect(first.release(true)).To(Succeed())
	g.Expect(filepath.Join(first.dir, "log")).To(BeARegularFile(), "kept files stay until the slot is acquired again")
	again, err := acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.number).To(Equal(1))
	g.Expect(filepath.Join(again.dir, "log")).NotTo(BeAnExistingFile())

	g.Expect(second.release(false)).To(Succeed())
	g.Expect(second.dir).NotTo(BeADirectory())
	g.Expect(activeSlots(base)).To(HaveLen(1))
	g.Expect(again.release(false)).To(Succeed())
}

func TestAcquire_KillsOnlyLeftoverPrograms(t *testing.T) {
	g := NewWithT(t)
	base := t.TempDir()
	leftover := []*exec.Cmd{startProcess(t, "etcd", filepath.Join(base, "1", "data")), startProcess(t, "registry", filepath.Join(base, "2", "data"))}
	other := startProcess(t, "etcd", filepath.Join(t.TempDir(), "data"))
	reader := startProcess(t, "less", filepath.Join(base, "1", "log"))
	for _, lock := range []string{"1.lock", "2.lock"} { // of killed runs
		g.Expect(os.WriteFile(filepath.Join(base, lock), nil, 0o600)).To(Succeed())
	}
	g.Expect(leftovers(filepath.Join(base, "1"))).To(ConsistOf(leftover[0].Process.Pid))

	own, err := acquire(base)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(own.release(false)).To(Succeed()) }()

	for _, cmd := range leftover {
		g.Expect(cmd.Wait()).To(MatchError("signal: killed"))
	}
	for _, spared := range []*exec.Cmd{other, reader} {
		g.Expect(spared.Process.Kill()).To(Succeed(), "it must still be running")
		g.Expect(spared.Wait()).To(MatchError("signal: killed"))
	}
}

// startProcess starts a process with a name and an argument, which waits for the end of its input.
func startProcess(t *testing.T, name, argument string) *exec.Cmd {
	t.Helper()
	g := NewWithT(t)
	cmd := exec.Command(os.Args[0], argument)
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), actAs+"=nothing")
	input, err := cmd.StdinPipe()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { input.Close() })
	g.Expect(cmd.Start()).To(Succeed())
	return cmd
}
