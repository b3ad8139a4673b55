// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// writes is how many requests the controller made that change something.
func (s *scene) writes() float64 {
	s.t.Helper()
	sum := 0.0
	for _, method := range []string{"PATCH", "POST", "PUT", "DELETE"} {
		sum += s.metric("rest_client_requests_total", `method="`+method+`"`)
	}
	return sum
}

func (s *scene) reconciles() float64 {
	s.t.Helper()
	return s.metric("controller_runtime_reconcile_total")
}

// settled waits until what the objects did to each other is over, and returns
// how many reconciles there were.
func (s *scene) settled() float64 {
	s.t.Helper()
	last := -1.0
	s.Eventually(func() bool {
		now := s.reconciles()
		same := now == last
		last = now
		return same
	}, patience, time.Second).Should(BeTrue())
	return last
}

func TestScan_UnchangedWritesOnceWithoutEvent(t *testing.T) {
	s := newScene(t, "--log-level=info")
	s.pushTags("app", "1.0.0", "1.1.0")
	repo := s.repository("app", func(r *v1.ImageRepository) { r.Spec.Interval.Duration = 2 * time.Second })
	policy := s.policy("app", reflecting(v1.ReflectIfNotPresent))
	ready(s, repo)
	ready(s, policy)
	s.Eventually(func() int { return len(s.events(repo)) + len(s.events(policy)) }).Should(Equal(2))

	policyVersion := policy.ResourceVersion
	s.proxy.asked("")
	s.settledSoon()
	told := s.log()
	writes, scans := s.writes(), 0
	for last := repo.Status.LastScanResult.ScanTime; scans < 3; scans++ {
		s.Eventually(func() metav1.Time { return refresh(s, repo).Status.LastScanResult.ScanTime }).ShouldNot(Equal(last))
		last = repo.Status.LastScanResult.ScanTime
	}
	s.Expect(s.writes()-writes).To(Equal(3.0), "one status write a scan")
	s.Expect(s.proxy.asked("tags/list")).To(HaveLen(3))
	s.Expect(s.events(repo)).To(HaveLen(1))
	s.Expect(s.events(policy)).To(HaveLen(1))
	s.Expect(refresh(s, policy).ResourceVersion).To(Equal(policyVersion), "an unchanged policy is not written")
	s.Expect(s.log()).To(Equal(told), "nor is anything logged")
}

// log is what the controller has logged so far.
func (s *scene) log() string {
	s.t.Helper()
	content, err := os.ReadFile(s.controller.LogFile())
	s.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// TestLog_IncludesObjectReasonAndDuration shows what a line of the log holds: about what object, what happened
// and why, and how long it took.
func TestLog_IncludesObjectReasonAndDuration(t *testing.T) {
	s := newScene(t, "--log-encoding=json", "--log-level=info")
	s.pushTags("app", "1.0.0")
	repo := ready(s, s.repository("app"))
	lost := s.repository("lost")
	notReady(s, lost, v1.ReadOperationFailedReason, "404")
	s.Eventually(func() []map[string]any { return s.logged("lost") }).ShouldNot(BeEmpty())

	found := s.logged("app")
	s.Expect(found).To(HaveLen(1), "one line tells of one change")
	s.Expect(found[0]).To(And(HaveKeyWithValue("level", "info"), HaveKeyWithValue("reason", "Succeeded"),
		HaveKeyWithValue("warning", false), HaveKeyWithValue("namespace", repo.Namespace),
		HaveKeyWithValue("msg", HavePrefix("successful scan: found 1 tags")), HaveKey("duration"), HaveKey("reconcileID")))
	s.Expect(s.logged("lost")[0]).To(And(HaveKeyWithValue("reason", v1.ReadOperationFailedReason),
		HaveKeyWithValue("warning", true), HaveKeyWithValue("msg", ContainSubstring("has no such repository"))))
}

// logged returns the lines of a log in JSON that are about ImageRepositories of a name.
func (s *scene) logged(name string) []map[string]any {
	s.t.Helper()
	var found []map[string]any
	for line := range strings.Lines(s.log()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["name"] == name && entry["controllerKind"] == v1.ImageRepositoryKind {
			found = append(found, entry)
		}
	}
	return found
}

// TestRestart_CausesNoRequestsOrWrites shows that a restart with the store kept goes unnoticed,
// whether the controller was stopped or killed.
func TestRestart_CausesNoRequestsOrWrites(t *testing.T) {
	for name, end := range map[string]func(*scene) error{
		"stopped": func(s *scene) error { return s.controller.Stop() },
		"killed":  func(s *scene) error { return s.controller.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.pushTags("app", "1.0.0", "1.1.0")
			repo := s.repository("app")
			never := s.policy("app")
			always := s.policy("always", reflecting(v1.ReflectAlways), func(p *v1.ImagePolicy) { p.Spec.ImageRepositoryRef.Name = "app" })
			objects := []object{repo, never, always}
			versions := map[string]string{}
			for _, obj := range objects {
				ready(s, obj)
				s.Eventually(func() []string { return s.events(obj) }).Should(HaveLen(1))
				versions[string(obj.GetUID())] = refresh(s, obj).GetResourceVersion()
			}

			s.settled()
			s.Expect(end(s)).To(Succeed())
			s.proxy.asked("")
			s.Expect(s.controller.Start(s.ctx)).To(Succeed())
			s.Eventually(s.reconciles).Should(BeNumerically(">=", 3), "all were looked at")
			s.Consistently(func(g Gomega) {
				for _, obj := range objects {
					g.Expect(refresh(s, obj).GetResourceVersion()).To(Equal(versions[string(obj.GetUID())]), "no condition flips")
					g.Expect(s.events(obj)).To(HaveLen(1))
				}
			}, "3s").Should(Succeed())
			s.Expect(s.proxy.asked("")).To(BeEmpty(), "no request before it is due")
			s.Expect(s.writes()).To(BeZero())
		})
	}
}

// TestStore_LossKeepsPoliciesReady shows that policies stay ready while the tags are scanned anew.
func TestStore_LossKeepsPoliciesReady(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0", "1.1.0")
	repo, policy := s.repository("app"), s.policy("app")
	ready(s, policy)
	s.Eventually(func() []string { return s.events(policy) }).Should(HaveLen(1))
	before := policy.Status.DeepCopy()

	s.Expect(s.controller.Kill()).To(Succeed())
	s.Expect(os.RemoveAll(s.controller.StoragePath())).To(Succeed())
	s.Expect(os.Mkdir(s.controller.StoragePath(), 0o700)).To(Succeed())
	s.proxy.asked("")
	s.Expect(s.controller.Start(s.ctx)).To(Succeed())
	s.Eventually(func() []string { return s.proxy.asked("tags/list") }).Should(HaveLen(1))
	s.Consistently(func() metav1.ConditionStatus { return refresh(s, policy).Status.Conditions[0].Status }, "2s").Should(Equal(metav1.ConditionTrue))
	s.Expect(policy.Status).To(Equal(*before), "and says again what it said")
	s.Expect(s.events(policy)).To(HaveLen(1))
	s.Expect(s.events(ready(s, repo))).To(HaveLen(1))
}

func TestSuspend_PausesUntilResumed(t *testing.T) {
	s := newScene(t)
	s.pushTags("app", "1.0.0")
	repo, policy := s.repository("app"), s.policy("app")
	ready(s, policy)
	edit(s, policy, func(p *v1.ImagePolicy) { p.Spec.Suspend = true })
	s.pushTags("app", "1.1.0")
	request(s, repo)
	s.Consistently(func() string { return refresh(s, policy).Status.LatestRef.Tag }, "1s").Should(Equal("1.0.0"))
	edit(s, policy, func(p *v1.ImagePolicy) { p.Spec.Suspend = false })
	s.Expect(ready(s, policy).Status.LatestRef.Tag).To(Equal("1.1.0"))

	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Suspend = true; r.Spec.ExclusionList = []string{"rc"} })
	s.proxy.asked("")
	s.Consistently(func() []string { return s.proxy.asked("tags/list") }, "1s").Should(BeEmpty())
	edit(s, repo, func(r *v1.ImageRepository) { r.Spec.Suspend = false })
	s.Eventually(func() []string { return refresh(s, repo).Status.ObservedExclusionList }).Should(Equal([]string{"rc"}))
	s.Expect(s.proxy.asked("tags/list")).To(HaveLen(1))
}

// settledSoon waits until what one scan set off is over: the policies of its
// repository were looked at.
func (s *scene) settledSoon() {
	s.t.Helper()
	last := -1.0
	s.Eventually(func() bool {
		now := s.reconciles()
		same := now == last && s.metric("controller_runtime_active_workers")+s.metric("workqueue_depth") == 0
		last = now
		return same
	}, patience, 100*time.Millisecond).Should(BeTrue())
}
