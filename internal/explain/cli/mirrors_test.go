// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/explain/cli"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestMirrors_AreUsedAndNoted checks that tags come from a mirror, and that a note says why they come
// from the registry if the mirror fails.
func TestMirrors_AreUsedAndNoted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	origin, mirror := registrytest.Start(t), registrytest.Start(t)
	origin.PushTags(t, "app", "1.0.0")
	mirror.PushTags(t, "cache/app", "1.1.0")
	file := filepath.Join(t.TempDir(), "mirrors.toml")
	write := func(content string) { g.Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed()) }
	explain := run{args: []string{"explain", "-f", "-", "--registry-mirrors=" + file}, stdin: policy("1.x") + repository(origin.Image("app"))}

	write(fmt.Sprintf("[%q.host.\"http://%s/v2/cache\"]\noverride_path = true\n", origin.Host(), mirror.Host()))
	got := explain.do(t)
	g.Expect(got.out).To(And(MatchRegexp(`Selected +1\.1\.0`), ContainSubstring(origin.Image("app"))), got.err)
	g.Expect(origin.Count(registrytest.Tags)).To(BeZero())

	mirror.Inject(registrytest.Any, registrytest.Status(403, ""))
	got = explain.do(t)
	g.Expect(got.out).To(MatchRegexp(`Selected +1\.0\.0`), got.err)
	g.Expect(got.out).To(ContainSubstring("mirror " + mirror.Host() + " was tried before"))

	write(fmt.Sprintf("[%q.host.\"http://%s/cache\"]\n", origin.Host(), mirror.Host()))
	got = explain.do(t)
	g.Expect(got.code).To(Equal(cli.ExitInvalid))
	g.Expect(got.err).To(And(ContainSubstring("--registry-mirrors: "), ContainSubstring("write http://"+mirror.Host()+"/v2/cache and override_path = true")))
}
