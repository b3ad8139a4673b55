// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/test/canary"
)

// secretPart is a part of every credential of these tests. After the run, the output of the
// controllers and all objects are searched for it. URL encoding changes its plus sign.
const secretPart = "c4nary+s3cret"

// evidence is the output of a run, which is searched for secrets.
type evidence struct {
	dir     string
	secrets *canary.Search
	watches []*recording
	outputs atomic.Int64 // number of outputs of the command line
}

// recordEvidence starts to record every state of the objects that controllers write.
func recordEvidence(dir string) (*evidence, error) {
	e := &evidence{dir: dir, secrets: canary.New(secretPart)}
	for _, sub := range []string{"controllers", "watches", "outputs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	for _, list := range []client.ObjectList{
		&v1.ImageRepositoryList{}, &v1.ImagePolicyList{}, &corev1.EventList{}, &eventsv1.EventList{}, &corev1.SecretList{},
	} {
		r, err := record(list, filepath.Join(dir, "watches"), e.secrets)
		if err != nil {
			return nil, err
		}
		e.watches = append(e.watches, r)
	}
	return e, nil
}

// invalidInFileName matches the characters of a test's name that are replaced in file names.
var invalidInFileName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// controllerDir returns a directory for the files of a controller of a test. It is kept after the
// test.
func (e *evidence) controllerDir(t *testing.T) string {
	t.Helper()
	//nolint:usetesting // it is kept after the test
	dir, err := os.MkdirTemp(filepath.Join(e.dir, "controllers"), invalidInFileName.ReplaceAllString(t.Name(), "-")+"-")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return dir
}

// storeOutput stores the output of the command line.
func (e *evidence) storeOutput(t *testing.T, texts ...string) {
	t.Helper()
	name := fmt.Sprintf("%s-%d.txt", invalidInFileName.ReplaceAllString(t.Name(), "-"), e.outputs.Add(1))
	NewWithT(t).Expect(os.WriteFile(filepath.Join(e.dir, "outputs", name), []byte(strings.Join(texts, "\n")), 0o600)).To(Succeed())
}

// check searches all files for secrets after the tests. If all tests ran, every kind of file must
// exist, so that an empty search does not succeed.
func (e *evidence) check(ctx context.Context, plane *testenv.ControlPlane, allTests bool) error {
	errs := []error{e.drain(ctx)}
	for _, r := range e.watches {
		errs = append(errs, r.problems()...)
	}
	for _, log := range []string{plane.AuditLog(), filepath.Join(plane.Dir, "kube-apiserver.log")} {
		content, err := os.ReadFile(log)
		errs = append(errs, err)
		for _, found := range e.secrets.In(content) {
			errs = append(errs, fmt.Errorf("%s: %s", log, found))
		}
	}
	found, read, err := e.secrets.Files(e.dir)
	errs = append(errs, err)
	for _, leak := range found {
		errs = append(errs, errors.New(leak))
	}
	if allTests {
		errs = append(errs, e.checkCompleteness())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("secrets may only be in Secrets, and every credential of these tests must contain one that the leak check searches for:\n%w", err)
	}
	fmt.Printf("no secret is in the %d bytes of output of the controllers\n", read)
	return nil
}

// checkCompleteness returns an error if a kind of file is missing.
func (e *evidence) checkCompleteness() error {
	var errs []error
	for pattern, text := range map[string]string{
		"controllers/*/controller.log":  "DEBUG",
		"controllers/*/metrics.txt":     "controller_runtime_reconcile_total",
		"controllers/*/tags/*/*/*":      "",
		"outputs/*":                     "registry",
		"watches/*core-v1-EventList*":   "Warning",
		"watches/*events-v1-EventList*": "Warning",
		"watches/*ImagePolicyList*":     "latestRef",
		"watches/*RepositoryList*":      "AuthenticationFailed",
	} {
		files, err := filepath.Glob(filepath.Join(e.dir, pattern))
		errs = append(errs, err)
		contained := false
		for _, file := range files {
			content, err := os.ReadFile(file)
			errs = append(errs, err)
			contained = contained || strings.Contains(string(content), text)
		}
		if !contained {
			errs = append(errs, fmt.Errorf("none of the %d files %s contains %q: the leak check did not search the expected files", len(files), pattern, text))
		}
	}
	return errors.Join(errs...)
}

// sentinel is the name of the objects that are created after all tests.
const sentinel = "end-of-the-run"

// drain waits until the watches have received the last object.
func (e *evidence) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	named := metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: sentinel}
	repo := &v1.ImageRepository{ObjectMeta: named}
	repo.Spec.Image, repo.Spec.Interval.Duration = "example.com/app", time.Hour
	policy := &v1.ImagePolicy{ObjectMeta: named}
	policy.Spec.ImageRepositoryRef.Name, policy.Spec.Policy.SemVer = "app", &v1.SemVerPolicy{Range: "*"}
	for _, obj := range []client.Object{repo, policy, &corev1.Secret{ObjectMeta: named}, &corev1.Event{
		ObjectMeta: named, InvolvedObject: corev1.ObjectReference{Namespace: metav1.NamespaceDefault},
	}} {
		if err := suite.api.Create(ctx, obj); err != nil {
			return err
		}
	}
	for _, r := range e.watches {
		select {
		case <-r.drained:
		case <-r.ended:
			return fmt.Errorf("the watch of %s ended early", r.kind)
		case <-ctx.Done():
			return fmt.Errorf("the watch of %s lags behind", r.kind)
		}
	}
	return nil
}
