// SPDX-License-Identifier: Apache-2.0

// Command newcomer goes the way of somebody who sees this repository for the
// first time, from a clean clone in a temporary folder to a policy that is
// resolved and explained, and says how long each step takes:
//
//	make newcomer
//
// The commands are those of the README. The cluster is an etcd and a
// kube-apiserver, and no Pod runs there, so the controller is deployed and then
// started by make run-local. The registry is on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

func main() {
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "newcomer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	root, err := stage.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "newcomer-")
	if err != nil {
		return err
	}
	p := &path{dir: dir, clone: filepath.Join(dir, "image-reflector-controller"), out: out}
	err = p.walk(ctx, root)
	if err == nil {
		p.report()
	}
	return errors.Join(err, p.leave(), os.RemoveAll(dir))
}

// path is the way of a newcomer.
type path struct {
	dir, clone string
	out        io.Writer
	env        []string
	taken      []step
	// undo ends what was started, the last one first.
	undo []func() error
}

// step is what was done, and how long it took.
type step struct {
	what  string
	taken time.Duration
}

func (p *path) walk(ctx context.Context, root string) error {
	p.env = without(os.Environ(), "KUBECONFIG", "MAKEFLAGS", "MAKELEVEL", "MFLAGS",
		stage.AssetsVariable, stage.RegistryVariable, stage.ControllerVariable)
	err := p.do(ctx, p.dir, "git clone", "git clone -q '"+root+"' image-reflector-controller")
	if err == nil {
		err = p.do(ctx, p.clone, "make run ONCE=1: everything is built, and the samples resolve", "make run ONCE=1")
	}
	if err != nil {
		return err
	}
	registry, err := p.surround(ctx)
	if err != nil {
		return err
	}
	image := registry + "/image-reflector-controller:dev"
	err = p.do(ctx, p.clone, "make image: for amd64 and arm64, pushed", "make image IMAGE="+image)
	if err == nil {
		err = p.do(ctx, p.clone, "make deploy: CRDs and controller", "make deploy IMG="+image)
	}
	if err != nil {
		return err
	}
	if err := p.runLocal(); err != nil {
		return err
	}
	err = p.do(ctx, p.clone, "make run-local, kubectl apply: the first policy is resolved",
		"kubectl apply -f podinfo.yaml && kubectl wait --timeout=5m --for=condition=Ready imagepolicy/podinfo")
	if err != nil {
		return err
	}
	return p.do(ctx, p.clone, "explained by the kubectl plugin",
		"ln -s $PWD/bin/image-reflector-controller tools/kubectl-imagepolicy && kubectl imagepolicy explain podinfo")
}

// do runs a command in a folder, and notes how long it takes.
func (p *path) do(ctx context.Context, dir, what, command string) error {
	fmt.Fprintf(p.out, "=== %s\n", what)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, p.env, p.out, p.out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	p.taken = append(p.taken, step{what, time.Since(began)})
	return nil
}

// surround is what a newcomer has already: a cluster with a kubectl, and a
// registry with an image. It returns the host of that.
func (p *path) surround(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "-C", "hack/controlplane", "run", ".", "path", "-bin", filepath.Join(p.clone, "bin"))
	cmd.Dir, cmd.Env = p.clone, append(p.env, "GOWORK=off")
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("the control plane of the clone: %w", err)
	}
	plane := &stage.ControlPlane{Assets: strings.TrimSpace(string(output)), Dir: filepath.Join(p.dir, "cluster")}
	if err := plane.Start(ctx); err != nil {
		return "", err
	}
	p.undo = append(p.undo, plane.Stop)
	registry := &stage.Registry{Binary: filepath.Join(p.clone, "bin/registry"), Dir: filepath.Join(p.dir, "registry")}
	if err := registry.Start(ctx); err != nil {
		return "", err
	}
	p.undo = append(p.undo, registry.Stop)
	for _, tag := range []string{"5.2.1", "6.0.0", "6.1.0-rc.1", "latest"} {
		image, err := stage.Image(tag)
		if err != nil {
			return "", err
		}
		if _, err := registry.Push(ctx, "stefanprodan/podinfo:"+tag, image); err != nil {
			return "", err
		}
	}
	tools := filepath.Join(p.clone, "tools")
	p.env = append(p.env, "KUBECONFIG="+plane.Kubeconfig(), "PATH="+tools+":"+os.Getenv("PATH"))
	err = errors.Join(os.Mkdir(tools, 0o700), os.Symlink(filepath.Join(plane.Assets, "kubectl"), filepath.Join(tools, "kubectl")))
	if err != nil {
		return "", err
	}
	return registry.Host(), p.example(registry.Host())
}

// example writes the example of the README, with the image in another registry.
func (p *path) example(host string) error {
	readme, err := os.ReadFile(filepath.Join(p.clone, "README.md"))
	if err != nil {
		return err
	}
	_, rest, found := strings.Cut(string(readme), "```yaml\n# podinfo.yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		return errors.New("README.md has no block that begins with # podinfo.yaml")
	}
	return os.WriteFile(filepath.Join(p.clone, "podinfo.yaml"), []byte(strings.ReplaceAll(text, "ghcr.io", host)), 0o600)
}

// runLocal starts the controller, as no kubelet does, on ports that are free. It
// is at work when the first policy is resolved.
func (p *path) runLocal() error {
	arguments := "--metrics-addr=127.0.0.1:0 --health-addr=127.0.0.1:0 --storage-path=" + filepath.Join(p.dir, "store")
	cmd := exec.Command("make", "run-local")
	cmd.Dir, cmd.Env = p.clone, append(p.env, "RUN_LOCAL_ARGS="+arguments)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.undo = append(p.undo, func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait() // it was told to end, and make finds that wrong
		return err
	})
	return nil
}

func (p *path) leave() error {
	var errs []error
	for i := len(p.undo) - 1; i >= 0; i-- {
		errs = append(errs, p.undo[i]())
	}
	return errors.Join(errs...)
}

func (p *path) report() {
	var total time.Duration
	fmt.Fprintf(p.out, "\n%8s  %s\n", "SECONDS", "STEP")
	for _, s := range p.taken {
		fmt.Fprintf(p.out, "%8.1f  %s\n", s.taken.Seconds(), s.what)
		total += s.taken
	}
	fmt.Fprintf(p.out, "%8.1f  all of it\n", total.Seconds())
}

// without leaves variables out of an environment.
func without(env []string, names ...string) []string {
	var kept []string
next:
	for _, variable := range env {
		for _, name := range names {
			if strings.HasPrefix(variable, name+"=") {
				continue next
			}
		}
		kept = append(kept, variable)
	}
	return kept
}
