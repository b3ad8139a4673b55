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
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

var updateScreens = flag.Bool("update-screens", false, "write the screens of a cluster into the guide")

// cli runs the command line under a name, and returns what it printed and its
// exit code.
func (s *scene) cli(name string, args ...string) (string, int) {
	s.t.Helper()
	link := filepath.Join(s.t.TempDir(), name)
	s.Expect(os.Symlink(suite.binaries.Controller, link)).To(Succeed())
	cmd := exec.CommandContext(s.ctx, link, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+suite.kubeconfig)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); cmd.ProcessState == nil {
		s.Expect(err).NotTo(HaveOccurred())
	}
	s.Expect(out.String()+problems.String()).NotTo(ContainSubstring(secretPart), "no secret is printed")
	suite.evidence.printed(s.t, out.String(), problems.String())
	if code := cmd.ProcessState.ExitCode(); code > 1 {
		return problems.String(), code
	}
	s.Expect(problems.String()).To(Or(BeEmpty(), HavePrefix("Completion ended")))
	return out.String(), cmd.ProcessState.ExitCode()
}

// explained is what explain says of a policy, as programs read it.
func (s *scene) explained(policy *v1.ImagePolicy, args ...string) explain.Result {
	s.t.Helper()
	out, code := s.cli("kubectl-imagepolicy", append([]string{"explain", policy.Name, "-n", policy.Namespace, "-o", "json"}, args...)...)
	var result explain.Result
	s.Expect(json.Unmarshal([]byte(out), &result)).To(Succeed(), "%d: %s", code, out)
	s.Expect(code).To(Equal(map[bool]int{true: 0, false: 1}[result.Selected != nil]))
	return result
}

// privateRegistry starts a registry that wants a password.
func (s *scene) privateRegistry() *testenv.Registry {
	s.t.Helper()
	private := &testenv.Registry{Binary: suite.binaries.Registry, Dir: filepath.Join(s.t.TempDir(), "registry"), Username: "robot", Password: secretPart}
	s.Expect(private.Start(s.ctx)).To(Succeed())
	s.t.Cleanup(func() { s.Expect(private.Stop()).To(Succeed()) })
	return private
}

func reasons(notes []explain.Note) []string {
	var found []string
	for _, note := range notes {
		found = append(found, note.Reason)
	}
	return found
}

// TestExplain_MatchesController reads everything from the cluster,
// the password included, and comes to the controller's own answer.
func TestExplain_MatchesController(t *testing.T) {
	s := newScene(t)
	private := s.privateRegistry()
	for _, tag := range []string{"1.0.0", "1.0.1", "1.2.0", "v1.2.0", "1.3.0-rc.1", "2.0.0", "main-7-a", "main-10-b", "latest", "a.sig",
		"b1", "b2", "b3"} {
		s.pushTo(private, "org/webapp:"+tag, "webapp "+tag)
	}
	login := s.secret("private", corev1.SecretTypeDockerConfigJson, dockerConfig(s, private.Host(), "robot", secretPart))
	ready(s, s.repository("webapp", func(r *v1.ImageRepository) { r.Spec.Image, r.Spec.SecretRef = private.Image("org/webapp"), login }))
	of := func(change func(*v1.ImagePolicySpec)) func(*v1.ImagePolicy) {
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
		policy := ready(s, s.policy(name, of(change)))
		got := s.explained(policy)
		s.Expect(got.Selected).NotTo(BeNil())
		s.Expect(got.Selected.Tag).To(Equal(policy.Status.LatestRef.Tag), name)
		s.Expect(got.Selected.Digest).To(Equal(policy.Status.LatestRef.Digest), name)
		s.Expect(got.Policy.LatestRef).To(Equal(policy.Status.LatestRef))
		s.Expect(*got.Policy.Agrees).To(BeTrue(), name)
		s.Expect(got.Notes).To(BeEmpty(), name)
		s.Expect(got.Tags.Revision).To(Equal(got.Repository.LastScan.Revision))
	}
	nothing := s.policy("nothing", of(func(p *v1.ImagePolicySpec) { p.Policy.SemVer.Range = "9.x" }))
	notReady(s, nothing, v1.NoTagSelectedReason, "no tag selected")
	s.Expect(reasons(s.explained(nothing).Notes)).To(ContainElements(explain.NotePolicyNotReady))

	webapp := &v1.ImagePolicy{ObjectMeta: s.meta("webapp")}
	s.checkGates(private)
	s.checkScreens()
	s.checkFromStatus(webapp)
	s.checkCompletion()
	s.checkChanges(private, webapp)
}

// checkGates: what the controller judged is told, and judged here it is the same.
func (s *scene) checkGates(private *testenv.Registry) {
	both, err := testenv.Index("shop", "amd64", "arm64")
	s.Expect(err).NotTo(HaveOccurred())
	one, err := testenv.Image("shop")
	s.Expect(err).NotTo(HaveOccurred())
	for tag, artifact := range map[string]testenv.Artifact{"1.0.0": both, "1.1.0": both, "1.2.0": one, "1.3.0": both} {
		s.Expect(private.Push(s.ctx, "org/shop:"+tag, artifact)).Error().NotTo(HaveOccurred())
	}
	ready(s, s.repository("shop", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.SecretRef = private.Image("org/shop"), &meta.LocalObjectReference{Name: "private"}
	}))
	shop := ready(s, s.policy("shop", func(p *v1.ImagePolicy) {
		p.Spec.Platforms, p.Spec.Exclude = []string{"linux/amd64", "linux/arm64"}, []string{"1.3.0"}
		p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
	}))
	for by, args := range map[explain.EvaluatedBy][]string{explain.ByController: nil, explain.ByExplain: {"--gates"}} {
		got := s.explained(shop, args...)
		s.Expect(got.Gates.EvaluatedBy).To(Equal(by))
		s.Expect(got.PassedOver).To(ConsistOf(And(HaveField("Tag", "1.2.0"), HaveField("Gate", v1.GatePlatforms))))
		s.Expect(got.Selected).To(And(HaveField("Tag", "1.1.0"), HaveField("Digest", shop.Status.LatestRef.Digest),
			HaveField("Verdict", v1.CandidatePassed)))
		s.Expect(*got.Policy.Agrees).To(BeTrue())
		s.Expect(got.Notes).To(BeEmpty())
	}
}

// checkFromStatus: without the registry, ten tags and the selected one are known.
func (s *scene) checkFromStatus(policy *v1.ImagePolicy) {
	got := s.explained(policy, "--from-status")
	s.Expect(got.Tags).To(And(HaveField("Source", explain.FromStatus), HaveField("Complete", false), HaveField("Listed", 10)))
	s.Expect(got.Selected).To(And(HaveField("Tag", "v1.2.0"), HaveField("Digest", "")))
	s.Expect(got.Notes).To(ContainElement(HaveField("Message", ContainSubstring("only 10 of the 12 tags are known"))))
	got = s.explained(&v1.ImagePolicy{ObjectMeta: s.meta("alphabetical")}, "--from-status")
	s.Expect(got.Tags.Listed).To(Equal(11))
	s.Expect(got.Selected.Tag).To(Equal("1.0.0"), "which is not among the ten")
}

func (s *scene) checkCompletion() {
	out, _ := s.cli("kubectl_complete-imagepolicy", "explain", "-n", s.namespace, "")
	s.Expect(out).To(HavePrefix("alphabetical\nnothing\nnumerical\nprereleases\nshop\nwebapp\n:4"))
	out, _ = s.cli("kubectl_complete-imagepolicy", "explain", "webapp", "-n", s.namespace, "--tag", "")
	s.Expect(strings.Fields(out)).To(ContainElements("v1.2.0", "main-7-a"))
	out, _ = s.cli("flux-imagepolicy", "__complete", "explain", "--namespace", "")
	s.Expect(strings.Fields(out)).To(ContainElements(s.namespace, "kube-system"))
}

// checkChanges: the registry goes on, the status does not.
func (s *scene) checkChanges(private *testenv.Registry, policy *v1.ImagePolicy) {
	s.pushTo(private, "org/webapp:1.4.0", "webapp 1.4.0")
	got := s.explained(policy, "--tag", "1.2.0")
	s.Expect(got.Selected.Tag).To(Equal("1.4.0"))
	s.Expect(*got.Policy.Agrees).To(BeFalse())
	s.Expect(reasons(got.Notes)).To(Equal([]string{explain.NoteDiffers, explain.NoteListChanged, explain.NoteScanToCome}))
	s.Expect(got.Tag).To(And(HaveField("Verdict", explain.RunnerUp), HaveField("Rank", 3), HaveField("Behind", "1.4.0")))

	out, code := s.cli("kubectl-imagepolicy", "explain", "missing", "-n", s.namespace)
	s.Expect(code).To(Equal(2), out)
	s.Expect(out).To(ContainSubstring("there is no ImagePolicy '" + s.namespace + "/missing' in the cluster"))
	out, code = s.cli("kubectl-imagepolicy", "explain", "webapp", "-n", "no-such-namespace")
	s.Expect(code).To(Equal(2), out)
	s.Expect(out).To(ContainSubstring("there is no ImagePolicy 'no-such-namespace/webapp' in the cluster"))
	out, code = s.cli("kubectl-imagepolicy", "explain", "webapp", "-n", s.namespace, "--as", "nobody")
	s.Expect(code).To(Equal(3), out)
	s.Expect(out).To(ContainSubstring("the cluster does not let you read ImagePolicy '" + s.namespace + "/webapp'"))
	s.Expect(private.Kill()).To(Succeed())
	out, code = s.cli("kubectl-imagepolicy", "explain", "webapp", "-n", s.namespace)
	s.Expect(code).To(Equal(3), out)
	s.Expect(out).To(ContainSubstring("failed to list the tags of " + private.Image("org/webapp")))
	s.Expect(s.explained(policy, "--from-status").Selected.Tag).To(Equal("v1.2.0"), "which asks no registry")
}

// TestExplain_ConfirmsUnlistedTag: a tag that the list lacks stays selected
// as long as the registry has it.
func TestExplain_ConfirmsUnlistedTag(t *testing.T) {
	s := newScene(t)
	faulty := registrytest.Start(t)
	faulty.PushTags(t, "app", "1.0.0", "1.1.0")
	ready(s, s.repository("app", func(r *v1.ImageRepository) { r.Spec.Image = faulty.Image("app") }))
	policy := ready(s, s.policy("app"))
	faulty.Inject(registrytest.Tags, registrytest.Body("application/json", `{"name": "app", "tags": ["1.0.0"]}`))
	got := s.explained(policy)
	s.Expect(got.Selected.Tag).To(Equal("1.1.0"))
	s.Expect(*got.Policy.Agrees).To(BeTrue())
	s.Expect(reasons(got.Notes)).To(ContainElement(explain.NoteUnlisted))
	faulty.Delete(t, "app", "1.1.0")
	got = s.explained(policy)
	s.Expect(got.Selected.Tag).To(Equal("1.0.0"))
	s.Expect(reasons(got.Notes)).NotTo(ContainElement(explain.NoteUnlisted))
}

// screens are the blocks of the guide that show a cluster.
var screens = regexp.MustCompile("(?s)```console cluster\n\\$ kubectl imagepolicy ([^\n]*)\n(.*?)```")

// checkScreens holds the guide to what is printed, times and names aside.
func (s *scene) checkScreens() {
	root, err := testenv.Root()
	s.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(root, "docs/guides/explain.md")
	guide, err := os.ReadFile(path)
	s.Expect(err).NotTo(HaveOccurred())
	found := screens.FindAllStringSubmatch(string(guide), -1)
	s.Expect(found).NotTo(BeEmpty(), "the guide shows no cluster")
	updated := string(guide)
	for _, screen := range found {
		args := strings.Fields(strings.ReplaceAll(screen[1], "-n apps", "-n "+s.namespace))
		out, _ := s.cli("kubectl-imagepolicy", args...)
		out = s.normalised(out)
		if *updateScreens {
			updated = strings.Replace(updated, screen[0], strings.TrimSuffix(screen[0], screen[2]+"```")+out+"```", 1)
			continue
		}
		s.Expect(out).To(Equal(screen[2]), "the guide is out of date: go test ./internal/test/e2e -run Explain -args -update-screens")
	}
	if *updateScreens {
		s.Expect(os.WriteFile(path, []byte(updated), 0o600)).To(Succeed())
	}
}

var (
	loopback = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	ago      = regexp.MustCompile(`[0-9]+s ago`)
	dueIn    = regexp.MustCompile(`due in [0-9]+m`)
)

// normalised replaces what differs from run to run.
func (s *scene) normalised(out string) string {
	out = strings.ReplaceAll(out, s.namespace+"/", "apps/")
	out = loopback.ReplaceAllString(out, "registry.example.com")
	return dueIn.ReplaceAllString(ago.ReplaceAllString(out, "12s ago"), "due in 59m")
}
