// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// slowGo returns a folder with a go command that waits instead of building a program with -v, as
// hack/controlplane does, and a pipe: it contains "started", and is closed when the command exits.
func slowGo(t *testing.T) (string, string) {
	t.Helper()
	g := NewWithT(t)
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	g.Expect(syscall.Mkfifo(pipe, 0o600)).To(Succeed())
	compiler, err := exec.LookPath("go")
	g.Expect(err).NotTo(HaveOccurred())
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1 $2\" = 'build -v' ] || exec %s \"$@\"\nexec 3>%s && echo started >&3 && exec sleep 60\n", compiler, pipe)
	g.Expect(os.WriteFile(filepath.Join(folder, "go"), []byte(script), 0o755)).To(Succeed())
	return folder, pipe
}

// A supervisor or an editor ends make by SIGTERM to its process only, unlike Ctrl-C.
func TestMake_StopsBuildsAtSIGTERM(t *testing.T) {
	for name, args := range map[string][]string{
		"program":       {"build"},
		"tool":          {"bin/kustomize"},
		"control plane": {"controlplane"},
		"run":           {"run", "ONCE=1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			folder, pipe := slowGo(t)
			cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", root, "BIN=" + filepath.Join(folder, "bin")}, args...)...)
			cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=", "KUBEBUILDER_ASSETS=", "CONTROLPLANE_PREBUILT=0",
				"PATH="+folder+":"+os.Getenv("PATH"))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make signals its own group
			g.Expect(cmd.Start()).To(Succeed())
			ended := make(chan error, 1)
			go func() {
				err := cmd.Wait()
				if writer, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
					_ = writer.Close() // make failed before the build: the reader must not wait for it
				}
				ended <- err
			}()
			reader, err := os.Open(pipe)
			g.Expect(err).NotTo(HaveOccurred())
			defer reader.Close()
			build := bufio.NewReader(reader)
			line, err := build.ReadString('\n')
			g.Expect(line, err).To(Equal("started\n"))

			g.Expect(cmd.Process.Signal(syscall.SIGTERM)).To(Succeed())
			g.Expect(reader.SetReadDeadline(time.Now().Add(20 * time.Second))).To(Succeed())
			_, err = io.Copy(io.Discard, build)
			g.Expect(err).NotTo(HaveOccurred(), "the build must not go on")
			g.Expect(<-ended).To(HaveOccurred())
		})
	}
}
