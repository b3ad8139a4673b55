// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

const columns = 60

// onTerminal runs a command with a terminal as its stdout and stderr, or only stderr if errorsOnly
// is set, and returns the text printed there.
func onTerminal(t *testing.T, cmd *exec.Cmd, errorsOnly bool) string {
	t.Helper()
	g := NewWithT(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if os.IsNotExist(err) {
		t.Skip("the system has no pseudo-terminals")
	}
	g.Expect(err).NotTo(HaveOccurred())
	defer master.Close()
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	g.Expect(err).NotTo(HaveOccurred())
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	g.Expect(err).NotTo(HaveOccurred())
	cmd.Stdout, cmd.Stderr = slave, slave
	if errorsOnly {
		cmd.Stdout = nil
	}
	g.Expect(cmd.Start()).To(Succeed())
	_ = slave.Close()
	printed := make(chan string)
	go func() {
		var output strings.Builder
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer) // fails when the command exits
			output.Write(buffer[:n])
			if err != nil {
				printed <- output.String()
				return
			}
		}
	}()
	g.Expect(cmd.Wait()).To(Succeed())
	return strings.ReplaceAll(<-printed, "\r\n", "\n")
}

func TestTerminal_PrintsColorsAndFitsWidth(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	plain := run{args: []string{"explain", "-f", "-", "--tags", "testdata/tags.txt"}, stdin: policy("1.x")}
	printed := onTerminal(t, plain.command(t), false)
	g.Expect(printed).To(ContainSubstring(text.FgGreen.EscapeSeq() + "1.10.0"))
	g.Expect(printed).To(ContainSubstring("…"), "a row is truncated to the width of the terminal")

	for reason, env := range map[string]string{"colours are disabled": "NO_COLOR=1", "colours are not supported": "TERM=dumb"} {
		quiet := plain
		quiet.env = []string{env}
		printed := onTerminal(t, quiet.command(t), false)
		g.Expect(printed).NotTo(ContainSubstring("\x1b"), reason)
		for line := range strings.Lines(printed) {
			g.Expect(text.StringWidth(strings.TrimSuffix(line, "\n"))).To(BeNumerically("<=", columns), line)
		}
	}
	never := plain
	never.args = append(never.args, "--color=never")
	g.Expect(onTerminal(t, never.command(t), false)).NotTo(ContainSubstring("\x1b"))

	piped := plain.do(t)
	g.Expect(piped.out).NotTo(Or(ContainSubstring("\x1b"), ContainSubstring("…")), "a pipe gets plain, complete text")
	always := plain
	always.args = append(always.args, "--color=always")
	g.Expect(always.do(t).out).To(ContainSubstring(text.FgGreen.EscapeSeq() + "1.10.0"))
}

func TestProgress_ShowsLongListing(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	registry := registrytest.Start(t, registrytest.WithMaxPage(10))
	tags := make([]string, 55)
	for i := range tags {
		tags[i] = fmt.Sprintf("1.%d.0", i)
	}
	registry.PushTags(t, "app", tags...)
	long := run{args: []string{"explain", "-f", "-"}, stdin: policy("1.x") + repository(registry.Image("app"))}
	printed := onTerminal(t, long.command(t), true)
	g.Expect(printed).To(ContainSubstring("\r\x1b[Klisting " + registry.Image("app") + ": 20 tags in 2 pages"))
	g.Expect(printed).To(ContainSubstring("55 tags in 6 pages"))
	g.Expect(printed).To(HaveSuffix("\r\x1b[K"), "progress is erased at the end")

	g.Expect(long.do(t).err).To(BeEmpty(), "no progress is printed to a pipe")
}
