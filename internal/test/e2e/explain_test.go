// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

var updateScreens = flag.Bool("update-screens", false, "write the output of commands on a cluster into the guide")

// cli runs the command line under a name, and returns its output (stderr on failure) and its exit
// code.
func (f *fixture) cli(name string, args ...string) (string, int) {
	f.t.Helper()
	link := filepath.Join(f.t.TempDir(), name)
	f.Expect(os.Symlink(suite.binaries.Controller, link)).To(Succeed())
	cmd := exec.CommandContext(f.ctx, link, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+suite.kubeconfig)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		f.Expect(err).NotTo(HaveOccurred())
	}
	f.Expect(out.String()+stderr.String()).NotTo(ContainSubstring(secretPart), "no secret is printed")
	suite.evidence.storeOutput(f.t, out.String(), stderr.String())
	if code := cmd.ProcessState.ExitCode(); code > 1 {
		return stderr.String(), code
	}
	f.Expect(stderr.String()).To(Or(BeEmpty(), HavePrefix("Completion ended")))
	return out.String(), cmd.ProcessState.ExitCode()
}

// explain returns the result of explain for a policy.
func (f *fixture) explain(policy *v1.ImagePolicy, args ...string) explain.Result {
	f.t.Helper()
	out, code := f.cli("kubectl-imagepolicy", append([]string{"explain", policy.Name, "-n", policy.Namespace, "-o", "json"}, args...)...)
	var result explain.Result
	f.Expect(json.Unmarshal([]byte(out), &result)).To(Succeed(), "%d: %s", code, out)
	f.Expect(code).To(Equal(map[bool]int{true: 0, false: 1}[result.Selected != nil]))
	return result
}

// privateRegistry starts a registry that requires a password.
func (f *fixture) privateRegistry() *testenv.Registry {
	f.t.Helper()
	private := &testenv.Registry{Binary: suite.binaries.Registry, Dir: filepath.Join(f.t.TempDir(), "registry"), Username: "robot", Password: secretPart}
	f.Expect(private.Start(f.ctx)).To(Succeed())
	f.t.Cleanup(func() { f.Expect(private.Stop()).To(Succeed()) })
	return private
}

func reasons(notes []explain.Note) []string {
	var found []string
	for _, note := range notes {
		found = append(found, note.Reason)
	}
	return found
}

// TestExplain_MatchesController checks that explain, which reads everything from the cluster
// including the password, gets the same result as the controller.
func TestExplain_MatchesController(t *testing.T) {
	f := newFixture(t)
	private := f.privateRegistry()
	for _, tag := range []string{"1.0.0", "1.0.1", "1.2.0", "v1.2.0", "1.3.0-rc.1", "2.0.0", "main-7-a", "main-10-b", "latest", "a.sig",
		"b1", "b2", "b3"} {
		f.pushTo(private, "org/webapp:"+tag, "webapp "+tag)
	}
	login := f.secret("private", corev1.SecretTypeDockerConfigJson, dockerConfig(f, private.Host(), "robot", secretPart))
	awaitReady(f, f.repository("webapp", func(r *v1.ImageRepository) { r.Spec.Image, r.Spec.SecretRef = private.Image("org/webapp"), login }))
	ofWebapp := func(change func(*v1.ImagePolicySpec)) func(*v1.ImagePolicy) {
		return func(p *v1.ImagePolicy) {
			p.Spec.ImageRepositoryRef.Name, p.Spec.DigestReflectionPolicy = "webapp", v1.ReflectIfNotPresent
			change(&p.Spec)
		}
	}
	policies := map[string]func(*v1.ImagePolicySpec){
		"webapp":      func(p *v1.ImagePolicySpec) { p.Policy.SemVer.Range = "1.x" },
		"prereleases": func(p *v1.ImagePolicySpec) { p.Policy.SemVer.Range = "~1.3.0-0" },
		"alphabetical": func(p *v1.ImagePolicySpec) {
			p.Policy = v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{Order: "desc"}}
		},
		"numerical": func(p *v1.ImagePolicySpec) {
			p.Policy = v1.ImagePolicyChoice{Numerical: &v1.NumericalPolicy{}}
			p.FilterTags = &v1.TagFilter{Pattern: "^main-(?P<n>[0-9]+)", Extract: "$n"}
		},
	}
	for name, change := range policies {
		policy := awaitReady(f, f.policy(name, ofWebapp(change)))
		got := f.explain(policy)
		f.Expect(got.Selected).NotTo(BeNil())
		f.Expect(got.Selected.Tag).To(Equal(policy.Status.LatestRef.Tag), name)
		f.Expect(got.Selected.Digest).To(Equal(policy.Status.LatestRef.Digest), name)
		f.Expect(got.Policy.LatestRef).To(Equal(policy.Status.LatestRef))
		f.Expect(*got.Policy.Agrees).To(BeTrue(), name)
		f.Expect(got.Notes).To(BeEmpty(), name)
		f.Expect(got.Tags.Revision).To(Equal(got.Repository.LastScan.Revision))
	}
	nothing := f.policy("nothing", ofWebapp(func(p *v1.ImagePolicySpec) { p.Policy.SemVer.Range = "9.x" }))
	awaitNotReady(f, nothing, v1.NoTagSelectedReason, "no tag selected")
	f.Expect(reasons(f.explain(nothing).Notes)).To(ContainElements(explain.NotePolicyNotReady))

	webapp := &v1.ImagePolicy{ObjectMeta: f.meta("webapp")}
	f.checkGates(private)
	f.checkNatural(private)
	f.checkHistory(private)
	f.checkScreens("explain.md")
	f.checkFromStatus(webapp)
	f.checkCompletion()
	f.checkChanges(private, webapp)
}

// checkGates checks that explain returns the same verdicts from the status and by evaluation.
func (f *fixture) checkGates(private *testenv.Registry) {
	both, err := testenv.Index("shop", "amd64", "arm64")
	f.Expect(err).NotTo(HaveOccurred())
	one, err := testenv.Image("shop")
	f.Expect(err).NotTo(HaveOccurred())
	for tag, artifact := range map[string]testenv.Artifact{"1.0.0": both, "1.1.0": both, "1.2.0": one, "1.3.0": both} {
		f.Expect(private.Push(f.ctx, "org/shop:"+tag, artifact)).Error().NotTo(HaveOccurred())
	}
	awaitReady(f, f.repository("shop", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = private.Image("org/shop"), &meta.LocalObjectReference{Name: "private"}
	}))
	shop := awaitReady(f, f.policy("shop", func(p *v1.ImagePolicy) {
		p.Spec.Platforms, p.Spec.Exclude = []string{"linux/amd64", "linux/arm64"}, []string{"1.3.0"}
		p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
	}))
	for by, args := range map[explain.EvaluatedBy][]string{explain.ByController: nil, explain.ByExplain: {"--gates"}} {
		got := f.explain(shop, args...)
		f.Expect(got.Gates.EvaluatedBy).To(Equal(by))
		f.Expect(got.PassedOver).To(ConsistOf(And(HaveField("Tag", "1.2.0"), HaveField("Gate", v1.GatePlatforms))))
		f.Expect(got.Selected).To(And(HaveField("Tag", "1.1.0"), HaveField("Digest", shop.Status.LatestRef.Digest),
			HaveField("Verdict", v1.CandidatePassed)))
		f.Expect(*got.Policy.Agrees).To(BeTrue())
		f.Expect(got.Notes).To(BeEmpty())
	}
}

// checkNatural checks that explain ranks in natural order.
func (f *fixture) checkNatural(private *testenv.Registry) {
	for _, tag := range []string{"v1.30.1-k3s2", "v1.30.1-k3s10", "v1.30.1-rc1-k3s1"} {
		f.pushTo(private, "org/k3s:"+tag, "k3s "+tag)
	}
	awaitReady(f, f.repository("k3s", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = private.Image("org/k3s"), &meta.LocalObjectReference{Name: "private"}
	}))
	got := f.explain(awaitReady(f, f.policy("k3s", withNatural(v1.OrderAscending))), "--tag", "v1.30.1-rc1-k3s1")
	f.Expect(got.Selected.Tag).To(Equal("v1.30.1-k3s10"))
	f.Expect(*got.Policy.Agrees).To(BeTrue())
	f.Expect(got.Tag).To(And(HaveField("Verdict", explain.RunnerUp), HaveField("Rank", 3)))
}

// checkFromStatus checks that without the registry, ten tags and the selected one are known.
func (f *fixture) checkFromStatus(policy *v1.ImagePolicy) {
	got := f.explain(policy, "--from-status")
	f.Expect(got.Tags).To(And(HaveField("Source", explain.FromStatus), HaveField("Complete", false), HaveField("Listed", 10)))
	f.Expect(got.Selected).To(And(HaveField("Tag", "v1.2.0"), HaveField("Digest", "")))
	f.Expect(got.Notes).To(ContainElement(HaveField("Message", ContainSubstring("only 10 of the 12 tags are known"))))
	got = f.explain(&v1.ImagePolicy{ObjectMeta: f.meta("alphabetical")}, "--from-status")
	f.Expect(got.Tags.Listed).To(Equal(11))
	f.Expect(got.Selected.Tag).To(Equal("1.0.0"), "the selected tag, which is not among the ten")
}

func (f *fixture) checkCompletion() {
	out, _ := f.cli("kubectl_complete-imagepolicy", "explain", "-n", f.namespace, "")
	f.Expect(out).To(HavePrefix("alphabetical\napi\nk3s\nnothing\nnumerical\nprereleases\nshop\nwebapp\n:4"))
	out, _ = f.cli("kubectl_complete-imagepolicy", "explain", "webapp", "-n", f.namespace, "--tag", "")
	f.Expect(strings.Fields(out)).To(ContainElements("v1.2.0", "main-7-a"))
	out, _ = f.cli("flux-imagepolicy", "__complete", "explain", "--namespace", "")
	f.Expect(strings.Fields(out)).To(ContainElements(f.namespace, "kube-system"))
}

// checkChanges checks the output after changes and failures of the registry.
func (f *fixture) checkChanges(private *testenv.Registry, policy *v1.ImagePolicy) {
	f.pushTo(private, "org/webapp:1.4.0", "webapp 1.4.0")
	got := f.explain(policy, "--tag", "1.2.0")
	f.Expect(got.Selected.Tag).To(Equal("1.4.0"))
	f.Expect(*got.Policy.Agrees).To(BeFalse())
	f.Expect(reasons(got.Notes)).To(Equal([]string{explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanScheduled}))
	f.Expect(got.Tag).To(And(HaveField("Verdict", explain.RunnerUp), HaveField("Rank", 3), HaveField("Behind", "1.4.0")))

	out, code := f.cli("kubectl-imagepolicy", "explain", "missing", "-n", f.namespace)
	f.Expect(code).To(Equal(2), out)
	f.Expect(out).To(ContainSubstring("there is no ImagePolicy '" + f.namespace + "/missing' in the cluster"))
	out, code = f.cli("kubectl-imagepolicy", "explain", "webapp", "-n", "no-such-namespace")
	f.Expect(code).To(Equal(2), out)
	f.Expect(out).To(ContainSubstring("there is no ImagePolicy 'no-such-namespace/webapp' in the cluster"))
	out, code = f.cli("kubectl-imagepolicy", "explain", "webapp", "-n", f.namespace, "--as", "nobody")
	f.Expect(code).To(Equal(3), out)
	f.Expect(out).To(ContainSubstring("the cluster does not let you read ImagePolicy '" + f.namespace + "/webapp'"))
	f.Expect(private.Kill()).To(Succeed())
	out, code = f.cli("kubectl-imagepolicy", "explain", "webapp", "-n", f.namespace)
	f.Expect(code).To(Equal(3), out)
	f.Expect(out).To(ContainSubstring("failed to list the tags of " + private.Image("org/webapp")))
	f.Expect(f.explain(policy, "--from-status").Selected.Tag).To(Equal("v1.2.0"), "selected without the registry")
}

// TestExplain_ConfirmsUnlistedTag checks that a tag missing from the list stays selected as long as
// the registry has it.
func TestExplain_ConfirmsUnlistedTag(t *testing.T) {
	f := newFixture(t)
	faulty := registrytest.Start(t)
	faulty.PushTags(t, "app", "1.0.0", "1.1.0")
	awaitReady(f, f.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = faulty.Image("app") }))
	policy := awaitReady(f, f.policy("app"))
	faulty.Inject(registrytest.Tags, registrytest.Body("application/json", `{"name": "app", "tags": ["1.0.0"]}`))
	got := f.explain(policy)
	f.Expect(got.Selected.Tag).To(Equal("1.1.0"))
	f.Expect(*got.Policy.Agrees).To(BeTrue())
	f.Expect(reasons(got.Notes)).To(ContainElement(explain.NoteUnlisted))
	faulty.Delete(t, "app", "1.1.0")
	got = f.explain(policy)
	f.Expect(got.Selected.Tag).To(Equal("1.0.0"))
	f.Expect(reasons(got.Notes)).NotTo(ContainElement(explain.NoteUnlisted))
}

// screens matches the blocks of the guide that show commands on a cluster and their output.
var screens = regexp.MustCompile("(?s)```console cluster\n\\$ kubectl imagepolicy ([^\n]*)\n(.*?)```")

// checkScreens compares a guide with the output, except for times and names. Each of names is a
// name in the guide, followed by the one in this run.
func (f *fixture) checkScreens(guideFile string, names ...string) {
	f.t.Helper()
	root, err := testenv.Root()
	f.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(root, "docs/guides", guideFile)
	guide, err := os.ReadFile(path)
	f.Expect(err).NotTo(HaveOccurred())
	found := screens.FindAllStringSubmatch(string(guide), -1)
	f.Expect(found).NotTo(BeEmpty(), "the guide has no console cluster blocks")
	names = append(names, "-n apps", "-n "+f.namespace)
	shown := slices.Clone(names)
	slices.Reverse(shown)
	updated := string(guide)
	for _, screen := range found {
		args := strings.Fields(strings.NewReplacer(names...).Replace(screen[1]))
		out, _ := f.cli("kubectl-imagepolicy", args...)
		out = f.normalize(strings.NewReplacer(shown...).Replace(out))
		if *updateScreens {
			updated = strings.Replace(updated, screen[0], strings.TrimSuffix(screen[0], screen[2]+"```")+out+"```", 1)
			continue
		}
		f.Expect(out).To(Equal(screen[2]), "the guide is out of date: go test ./internal/test/e2e -run Explain -args -update-screens")
	}
	if *updateScreens {
		f.Expect(os.WriteFile(path, []byte(updated), 0o600)).To(Succeed())
	}
}

var (
	loopback = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	ago      = regexp.MustCompile(`[0-9]+s ago`)
	dueIn    = regexp.MustCompile(`due in [0-9]+m`)
	// selection matches a row of the history; its group is what is the same in every run.
	selection = regexp.MustCompile(`(?m)^[0-9-]{10}T[0-9:]{8}Z( .* )[0-9]+[smh]\S*$`)
)

// normalize replaces the parts of the output that differ between runs.
func (f *fixture) normalize(out string) string {
	out = strings.ReplaceAll(out, f.namespace+"/", "apps/")
	out = loopback.ReplaceAllString(out, "registry.example.com")
	age := 2 * time.Hour
	out = selection.ReplaceAllStringFunc(out, func(row string) string {
		at := time.Date(2026, 8, 5, 10, 0, 0, 0, time.UTC).Add(-age).Format(time.RFC3339)
		row = at + selection.FindStringSubmatch(row)[1] + duration.HumanDuration(age)
		age += 29 * time.Hour
		return row
	})
	return dueIn.ReplaceAllString(ago.ReplaceAllString(out, "12s ago"), "due in 59m")
}
