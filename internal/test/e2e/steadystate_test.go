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

// writes returns the number of requests of the controller that change objects.
func (f *fixture) writes() float64 {
	f.t.Helper()
	sum := 0.0
	for _, method := range []string{"PATCH", "POST", "PUT", "DELETE"} {
		sum += f.metric("rest_client_requests_total", `method="`+method+`"`)
	}
	return sum
}

// reconciles returns the number of reconciles of the controller.
func (f *fixture) reconciles() float64 {
	f.t.Helper()
	return f.metric("controller_runtime_reconcile_total")
}

// waitForIdle waits until there are no reconciles for a second, and returns their number.
func (f *fixture) waitForIdle() float64 {
	f.t.Helper()
	last := -1.0
	f.Eventually(func() bool {
		count := f.reconciles()
		same := count == last
		last = count
		return same
	}, eventuallyTimeout, time.Second).Should(BeTrue())
	return last
}

func TestScan_UnchangedWritesOnceWithoutEvent(t *testing.T) {
	f := newFixture(t, "--log-level=info")
	f.pushTags("app", "1.0.0", "1.1.0")
	repo := f.repository("app", func(r *v1.ImageRepository) { r.Spec.Interval.Duration = 2 * time.Second })
	policy := f.policy("app", withReflection(v1.ReflectIfNotPresent))
	awaitReady(f, repo)
	awaitReady(f, policy)
	f.Eventually(func() int { return len(f.events(repo)) + len(f.events(policy)) }).Should(Equal(2))

	policyVersion := policy.ResourceVersion
	f.proxy.takeRequests("")
	f.waitForIdleWorkers()
	log := f.log()
	writes, scans := f.writes(), 0
	for last := repo.Status.LastScanResult.ScanTime; scans < 3; scans++ {
		f.Eventually(func() metav1.Time { return refresh(f, repo).Status.LastScanResult.ScanTime }).ShouldNot(Equal(last))
		last = repo.Status.LastScanResult.ScanTime
	}
	f.Expect(f.writes()-writes).To(Equal(3.0), "one status write per scan")
	f.Expect(f.proxy.takeRequests("tags/list")).To(HaveLen(3))
	f.Expect(f.events(repo)).To(HaveLen(1))
	f.Expect(f.events(policy)).To(HaveLen(1))
	f.Expect(refresh(f, policy).ResourceVersion).To(Equal(policyVersion), "an unchanged policy is not written")
	f.Expect(f.log()).To(Equal(log), "nothing is logged")
}

// log returns the log of the controller.
func (f *fixture) log() string {
	f.t.Helper()
	content, err := os.ReadFile(f.controller.LogFile())
	f.Expect(err).NotTo(HaveOccurred())
	return string(content)
}

// TestLog_IncludesObjectReasonAndDuration checks the fields of log entries: object, message, reason
// and duration.
func TestLog_IncludesObjectReasonAndDuration(t *testing.T) {
	f := newFixture(t, "--log-encoding=json", "--log-level=info")
	f.pushTags("app", "1.0.0")
	repo := awaitReady(f, f.repository("app"))
	lost := f.repository("lost")
	awaitNotReady(f, lost, v1.ReadOperationFailedReason, "404")
	f.Eventually(func() []map[string]any { return f.logEntries("lost") }).ShouldNot(BeEmpty())

	found := f.logEntries("app")
	f.Expect(found).To(HaveLen(1), "one entry per change")
	f.Expect(found[0]).To(And(HaveKeyWithValue("level", "info"), HaveKeyWithValue("reason", "Succeeded"),
		HaveKeyWithValue("warning", false), HaveKeyWithValue("namespace", repo.Namespace),
		HaveKeyWithValue("msg", HavePrefix("successful scan: found 1 tags")), HaveKey("duration"), HaveKey("reconcileID")))
	f.Expect(f.logEntries("lost")[0]).To(And(HaveKeyWithValue("reason", v1.ReadOperationFailedReason),
		HaveKeyWithValue("warning", true), HaveKeyWithValue("msg", ContainSubstring("has no such repository"))))
}

// logEntries returns the log entries about the ImageRepository with a name.
func (f *fixture) logEntries(name string) []map[string]any {
	f.t.Helper()
	var found []map[string]any
	for line := range strings.Lines(f.log()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["name"] == name && entry["controllerKind"] == v1.ImageRepositoryKind {
			found = append(found, entry)
		}
	}
	return found
}

// TestRestart_CausesNoRequestsOrWrites checks that a restart with the same store causes no requests
// and no writes, whether the controller was stopped or killed.
func TestRestart_CausesNoRequestsOrWrites(t *testing.T) {
	for name, end := range map[string]func(*fixture) error{
		"stopped": func(f *fixture) error { return f.controller.Stop() },
		"killed":  func(f *fixture) error { return f.controller.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.pushTags("app", "1.0.0", "1.1.0")
			repo := f.repository("app")
			never := f.policy("app")
			always := f.policy("always", withReflection(v1.ReflectAlways), func(p *v1.ImagePolicy) { p.Spec.ImageRepositoryRef.Name = "app" })
			objects := []object{repo, never, always}
			versions := map[string]string{}
			for _, obj := range objects {
				awaitReady(f, obj)
				f.Eventually(func() []string { return f.events(obj) }).Should(HaveLen(1))
				versions[string(obj.GetUID())] = refresh(f, obj).GetResourceVersion()
			}

			f.waitForIdle()
			f.Expect(end(f)).To(Succeed())
			f.proxy.takeRequests("")
			f.Expect(f.controller.Start(f.ctx)).To(Succeed())
			f.Eventually(f.reconciles).Should(BeNumerically(">=", 3), "all objects were reconciled")
			f.Consistently(func(g Gomega) {
				for _, obj := range objects {
					g.Expect(refresh(f, obj).GetResourceVersion()).To(Equal(versions[string(obj.GetUID())]), "no condition flips")
					g.Expect(f.events(obj)).To(HaveLen(1))
				}
			}, "3s").Should(Succeed())
			f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "no request before it is due")
			f.Expect(f.writes()).To(BeZero())
		})
	}
}

// TestStore_LossKeepsPoliciesReady checks that policies stay ready after the loss of the store,
// while the tags are scanned again.
func TestStore_LossKeepsPoliciesReady(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0", "1.1.0")
	repo, policy := f.repository("app"), f.policy("app")
	awaitReady(f, policy)
	f.Eventually(func() []string { return f.events(policy) }).Should(HaveLen(1))
	before := policy.Status.DeepCopy()

	f.Expect(f.controller.Kill()).To(Succeed())
	f.Expect(os.RemoveAll(f.controller.StoragePath())).To(Succeed())
	f.Expect(os.Mkdir(f.controller.StoragePath(), 0o700)).To(Succeed())
	f.proxy.takeRequests("")
	f.Expect(f.controller.Start(f.ctx)).To(Succeed())
	f.Eventually(func() []string { return f.proxy.takeRequests("tags/list") }).Should(HaveLen(1))
	f.Consistently(func() metav1.ConditionStatus { return refresh(f, policy).Status.Conditions[0].Status }, "2s").Should(Equal(metav1.ConditionTrue))
	f.Expect(policy.Status).To(Equal(*before), "the status is the same as before")
	f.Expect(f.events(policy)).To(HaveLen(1))
	f.Expect(f.events(awaitReady(f, repo))).To(HaveLen(1))
}

func TestSuspend_PausesUntilResumed(t *testing.T) {
	f := newFixture(t)
	f.pushTags("app", "1.0.0")
	repo, policy := f.repository("app"), f.policy("app")
	awaitReady(f, policy)
	edit(f, policy, func(p *v1.ImagePolicy) { p.Spec.Suspend = true })
	f.pushTags("app", "1.1.0")
	requestReconcile(f, repo)
	f.Consistently(func() string { return refresh(f, policy).Status.LatestRef.Tag }, "1s").Should(Equal("1.0.0"))
	edit(f, policy, func(p *v1.ImagePolicy) { p.Spec.Suspend = false })
	f.Expect(awaitReady(f, policy).Status.LatestRef.Tag).To(Equal("1.1.0"))

	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.Suspend = true; r.Spec.ExclusionList = []string{"rc"} })
	f.proxy.takeRequests("")
	f.Consistently(func() []string { return f.proxy.takeRequests("tags/list") }, "1s").Should(BeEmpty())
	edit(f, repo, func(r *v1.ImageRepository) { r.Spec.Suspend = false })
	f.Eventually(func() []string { return refresh(f, repo).Status.ObservedExclusionList }).Should(Equal([]string{"rc"}))
	f.Expect(f.proxy.takeRequests("tags/list")).To(HaveLen(1))
}

// waitForIdleWorkers waits until no reconciles are running or queued.
func (f *fixture) waitForIdleWorkers() {
	f.t.Helper()
	last := -1.0
	f.Eventually(func() bool {
		count := f.reconciles()
		same := count == last && f.metric("controller_runtime_active_workers")+f.metric("workqueue_depth") == 0
		last = count
		return same
	}, eventuallyTimeout, 100*time.Millisecond).Should(BeTrue())
}
