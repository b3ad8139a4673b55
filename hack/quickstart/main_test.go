// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// actAs is an environment variable: "main" makes the test binary run the program, "nothing" makes
// it wait for the end of its input.
const actAs = "QUICKSTART_TEST_ACT_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(actAs) {
	case "main":
		main()
	case "nothing":
		_, _ = io.Copy(io.Discard, os.Stdin)
	default:
		os.Exit(m.Run())
	}
}

// TestQuickstart_ResolvesEverySample starts two runs in parallel, which must not interfere.
func TestQuickstart_ResolvesEverySample(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	first, second := launch(t, dir, "-once"), launch(t, dir, "-once")
	for _, run := range []*launchedRun{first, second} {
		output, err := run.wait()
		g.Expect(err).NotTo(HaveOccurred(), output)
		g.Expect(output).To(ContainSubstring("All 14 samples resolved as expected"))
	}
	expectNothingLeft(g, dir)
}

func TestQuickstart_FailsOnUnexpectedTag(t *testing.T) {
	g := NewWithT(t)
	root := copyOfRoot(t, "config")
	change(g, root, "config/samples/podinfo.yaml", "range: 1.x", "range: 1.9.x")
	binaries, err := testenv.BinariesFromEnv()
	g.Expect(err).NotTo(HaveOccurred())

	err = newSession(options{
		root: root, slot: &slot{dir: t.TempDir()}, binaries: binaries, once: true, timeout: 5 * time.Second, screen: newScreen(io.Discard), steps: &steps{},
	}).run(t.Context())

	g.Expect(err).To(MatchError(ContainSubstring("ImagePolicy samples/podinfo has the tag '1.9.0', want '1.10.0'")))
	g.Expect(err).To(MatchError(ContainSubstring("The end of the controller's log")))
}

func TestQuickstart_CleansUpIfInterruptedDuringStart(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	run := launch(t, dir)
	run.awaitOutput(g, "two registries with images")
	run.end(g, syscall.SIGINT)
	expectNothingLeft(g, dir)
}

func TestHints_WorkAsPrinted(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	run := launch(t, dir)
	run.awaitOutput(g, "kubectl get events")
	found := regexp.MustCompile(`(?m)go run ./hack/quickstart (\S+) ?(.*)$`).FindAllStringSubmatch(run.output.String(), -1)
	g.Expect(found).To(HaveLen(4))

	// run explain before the hints that push images, which change its output
	explain := regexp.MustCompile(`see why a tag was selected +(\S+) (explain .*)\n`).FindStringSubmatch(run.output.String())
	g.Expect(explain).To(HaveLen(3))
	g.Eventually(func() (string, error) {
		output, err := exec.CommandContext(t.Context(), explain[1], strings.Fields(explain[2])...).CombinedOutput()
		return string(output), err
	}, "30s").Should(ContainSubstring("as selected"))

	for _, hint := range found {
		g.Expect(commands).To(HaveKey(hint[1]))
		g.Expect(execute(dir, hint[1], strings.Fields(hint[2]))).To(Succeed(), hint[0])
	}
	run.awaitOutput(g, "updated from 1.10.0") // the digest of the old tag follows
	g.Expect(execute(dir, "reconcile", []string{"imagepolicy/none"})).To(MatchError(ContainSubstring("there is no imagepolicy/none")))

	history := regexp.MustCompile(`see what was selected before +(\S+) (explain .*)\n`).FindStringSubmatch(run.output.String())
	g.Expect(history).To(HaveLen(3))
	output, err := exec.CommandContext(t.Context(), history[1], strings.Fields(history[2])...).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(output)).To(And(ContainSubstring("NewTag"), ContainSubstring("Go back     to 1.10.0")))

	attested := regexp.MustCompile(`see which image is attested +(\S+) (explain .*)\n`).FindStringSubmatch(run.output.String())
	g.Expect(attested).To(HaveLen(3))
	output, err = exec.CommandContext(t.Context(), attested[1], strings.Fields(attested[2])...).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))
	g.Expect(string(output)).To(And(ContainSubstring("it has no attestation with the predicateType"), MatchRegexp(`Status +1\.0\.0 .*, as selected`)))

	g.Expect(execute(dir, "push", []string{"webapp:latest"})).To(Succeed())
	g.Expect(execute(dir, "reconcile", []string{"imagepolicy/webapp-latest"})).To(Succeed())
	run.awaitOutput(g, "updated from latest@")

	crash := regexp.MustCompile(`crash the controller +kill -9 (\d+)\n`).FindStringSubmatch(run.output.String())
	g.Expect(crash).To(HaveLen(2))
	g.Expect(exec.CommandContext(t.Context(), "kill", "-9", crash[1]).Run()).To(Succeed())
	run.awaitOutput(g, "the controller runs again")
	run.end(g, syscall.SIGTERM)
	expectNothingLeft(g, dir)
}

func TestSeed_PushesEverySampleImage(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	binaries, err := testenv.BinariesFromEnv()
	g.Expect(err).NotTo(HaveOccurred())
	registry := &testenv.Registry{Binary: binaries.Registry, Dir: t.TempDir()}
	g.Expect(registry.Start(ctx)).To(Succeed())
	defer func() { g.Expect(registry.Stop()).To(Succeed()) }()

	g.Expect(seed(ctx, []string{registry.Host() + "/some/folder"})).To(Succeed())

	for _, image := range sampleImages {
		g.Expect(registry.Digest(ctx, "some/folder/"+image.reference())).To(HavePrefix("sha256:"))
	}
}

func TestQuickstart_CleansUpAfterKilledRun(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	killed := launch(t, dir)
	killed.awaitOutput(g, "Things to try")
	g.Expect(killed.cmd.Process.Kill()).To(Succeed())
	_, err := killed.wait()
	g.Expect(err).To(HaveOccurred())
	g.Expect(leftovers(dir)).NotTo(BeEmpty(), "otherwise this test proves nothing")

	output, err := launch(t, dir, "-once").wait()

	g.Expect(err).NotTo(HaveOccurred(), output)
	expectNothingLeft(g, dir)
}

// launchedRun is a process of the program, started by a test.
type launchedRun struct {
	cmd    *exec.Cmd
	output strings.Builder
	lines  chan string
}

func launch(t *testing.T, dir string, args ...string) *launchedRun {
	t.Helper()
	return launchIn(t, "", dir, args...)
}

// launchIn starts the program with another root of the repository.
func launchIn(t *testing.T, root, dir string, args ...string) *launchedRun {
	t.Helper()
	g := NewWithT(t)
	g.Expect(testenv.BinariesFromEnv()).Error().NotTo(HaveOccurred())
	l := &launchedRun{cmd: exec.Command(os.Args[0], append([]string{"-dir", dir}, args...)...), lines: make(chan string, 1000)}
	l.cmd.Dir, l.cmd.Env = root, append(os.Environ(), actAs+"=main")
	pipe, err := l.cmd.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	l.cmd.Stderr = l.cmd.Stdout
	g.Expect(l.cmd.Start()).To(Succeed())
	t.Cleanup(func() { _ = l.cmd.Process.Signal(syscall.SIGTERM) })
	go func() {
		defer close(l.lines)
		for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
			l.lines <- scanner.Text()
		}
	}()
	return l
}

// awaitOutput waits until a line of the output contains the text.
func (l *launchedRun) awaitOutput(g *WithT, text string) {
	timeout := time.After(time.Minute)
	for {
		select {
		case line, ok := <-l.lines:
			l.output.WriteString(line + "\n")
			g.Expect(ok).To(BeTrue(), l.output.String())
			if strings.Contains(line, text) {
				return
			}
		case <-timeout:
			g.Expect(l.output.String()).To(ContainSubstring(text))
		}
	}
}

// wait waits until the program exits, and returns its output.
func (l *launchedRun) wait() (string, error) {
	for line := range l.lines {
		l.output.WriteString(line + "\n")
	}
	return l.output.String(), l.cmd.Wait()
}

// end stops the program by a signal, and expects a clean exit.
func (l *launchedRun) end(g *WithT, signal syscall.Signal) {
	g.Expect(l.cmd.Process.Signal(signal)).To(Succeed())
	output, err := l.wait()
	g.Expect(err).NotTo(HaveOccurred(), output)
	g.Expect(output).To(ContainSubstring("Everything is stopped"))
}

func expectNothingLeft(g *WithT, dir string) {
	g.Expect(leftovers(dir)).To(BeEmpty())
	g.Expect(filepath.Glob(filepath.Join(dir, "*", "*"))).To(BeEmpty())
}

// copyOfRoot returns a copy of files and folders of the repository.
func copyOfRoot(t *testing.T, patterns ...string) string {
	t.Helper()
	g := NewWithT(t)
	root, err := testenv.Root()
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		g.Expect(err).NotTo(HaveOccurred())
		for _, path := range found {
			if output, err := exec.Command("cp", "-R", path, dir).CombinedOutput(); err != nil {
				t.Fatalf("%s: %s", path, output)
			}
		}
	}
	return dir
}
