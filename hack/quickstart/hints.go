// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// hints returns commands to try while the run is up.
func hints(s state, run int) string {
	self, option := program(), ""
	if run > 1 { // run 1 may exit before this one
		option = fmt.Sprintf(" -run %d", run)
	}
	explain := func(policy string) string {
		return relative(os.Getenv(testenv.ControllerVariable)) + " explain " + policy + " -n samples --kubeconfig " + relative(s.Kubeconfig)
	}
	var text strings.Builder
	fmt.Fprintln(&text, "Things to try, in another terminal in this folder:")
	for _, hint := range [][2]string{
		{"push a new release", self + " push" + option + " podinfo:1.11.0"},
		{"move the tag latest", self + " push" + option + " webapp:latest"},
		{"move it back", self + " retag" + option + " webapp:main-0c5d8e1-1767398400 webapp:latest"},
		{"reconcile now", self + " reconcile" + option},
		{"see why a tag was selected", explain("podinfo")},
		{"see what was selected before", explain("podinfo") + " --history"},
		{"see which image is attested", explain("payments") + " --gates"},
		{"crash the controller", fmt.Sprintf("kill -9 %d", s.ControllerPID)},
		{"read its log", "tail -f " + relative(s.ControllerLog)},
		{"read its metrics", "curl -s " + s.MetricsURL},
	} {
		fmt.Fprintf(&text, "  %-30s %s\n", hint[0], hint[1])
	}
	return text.String() + `With kubectl, if you have it:
  export KUBECONFIG=` + s.Kubeconfig + `
  kubectl get imagerepositories,imagepolicies -A -o wide
  kubectl get imagepolicy -n samples webapp-latest -o jsonpath='{.status}'
  kubectl patch imagepolicy -n samples podinfo --type merge -p '{"spec":{"platforms":["linux/amd64","linux/arm64"]}}'
  kubectl annotate -n samples --overwrite imagepolicy/webapp-latest reconcile.fluxcd.io/requestedAt="$(date +%s)"
  kubectl get events -n samples`
}

// program returns the command that runs this program from the working directory.
func program() string {
	path, err := os.Executable()
	if err != nil || filepath.Base(filepath.Dir(path)) != "bin" {
		return "go run ./hack/quickstart" // runs it from a temporary folder
	}
	return relative(path)
}

// relative returns a path relative to the working directory if it is below that.
func relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(dir, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}
