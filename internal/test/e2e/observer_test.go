// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/internal/test/conformance"
)

// observer looks at every state of every object while all tests run, in both
// versions of the API, and keeps those that could mislead a client.
type observer struct {
	watches []watch.Interface
	readers sync.WaitGroup

	mu         sync.Mutex
	seen       map[string]*seen // by version and UID
	statuses   map[status.Status]int
	violations []string
	ended      bool
}

// seen is an object as it was seen last.
type seen struct {
	version string // of the resource
	state   *conformance.State
	// What tests write into a status, to play an older controller, is not judged
	// until the controller has written it.
	foreign   string // when they wrote, empty for never
	untouched string // the status that they wrote
}

// controllerManager is the field manager of what the controller writes.
const controllerManager = "image-reflector-controller"

// observe watches all objects until check is called.
func observe(ctx context.Context) (*observer, error) {
	o := &observer{seen: map[string]*seen{}, statuses: map[status.Status]int{}}
	for _, version := range []schema.GroupVersion{v1.GroupVersion, v1beta2.GroupVersion} {
		for _, kind := range []string{v1.ImageRepositoryKind, v1.ImagePolicyKind} {
			changes, err := suite.api.Watch(ctx, listOf(version, kind))
			if err != nil {
				return nil, errors.Join(err, o.stop())
			}
			o.watches = append(o.watches, changes)
			o.readers.Go(func() { o.read(version.Version, changes) })
		}
	}
	return o, nil
}

func listOf(version schema.GroupVersion, kind string) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(version.WithKind(kind + "List"))
	return list
}

func (o *observer) stop() error {
	for _, changes := range o.watches {
		changes.Stop()
	}
	o.readers.Wait()
	return nil
}

func (o *observer) read(version string, changes watch.Interface) {
	for change := range changes.ResultChan() {
		object, ok := change.Object.(*unstructured.Unstructured)
		o.mu.Lock()
		if ok {
			o.note(version, change.Type, object)
		} else {
			o.ended = true // an error, after which nothing comes
		}
		o.mu.Unlock()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
}

func (o *observer) note(version string, change watch.EventType, object *unstructured.Unstructured) {
	state, err := conformance.Read(object)
	if err != nil {
		o.violations = append(o.violations, fmt.Sprintf("%s %s/%s can't be read: %v", object.GetKind(), object.GetNamespace(), object.GetName(), err))
		return
	}
	key := version + string(object.GetUID())
	last := o.seen[key]
	now := next(last, object)
	now.version, now.state = object.GetResourceVersion(), state
	o.seen[key] = now
	if now.untouched != "" {
		return
	}
	problems := state.Violations()
	if last != nil && last.untouched == "" && change == watch.Modified {
		problems = append(problems, state.Change(last.state)...)
	}
	if len(problems) > 0 {
		o.violations = append(o.violations, version+" "+state.String()+"\n    : "+strings.Join(problems, "\n    : "))
	}
	if result, err := state.Kstatus(); err == nil {
		o.statuses[result]++
	}
}

// next carries over from the last time what is known of foreign writes.
func next(last *seen, object *unstructured.Unstructured) *seen {
	now := &seen{}
	if last != nil {
		now.foreign, now.untouched = last.foreign, last.untouched
	}
	wrote := foreignWrite(object.GetManagedFields())
	content := statusText(object)
	switch {
	case wrote != now.foreign:
		now.foreign, now.untouched = wrote, content
	case content != now.untouched:
		now.untouched = ""
	}
	return now
}

// foreignWrite tells writes of others than the controller to the status apart.
func foreignWrite(entries []metav1.ManagedFieldsEntry) string {
	var wrote []string
	for _, entry := range entries {
		if entry.Subresource == "status" && entry.Manager != controllerManager {
			wrote = append(wrote, entry.Manager+entry.Time.UTC().Format(time.RFC3339)+entry.FieldsV1.String())
		}
	}
	return strings.Join(wrote, " ")
}

func statusText(object *unstructured.Unstructured) string {
	content, err := json.Marshal(object.Object["status"])
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// check ends the watches once they have brought everything, and returns what
// was wrong. complete says that all tests have run, which come to every status.
func (o *observer) check(ctx context.Context, complete bool) error {
	err := o.catchUp(ctx)
	o.mu.Lock()
	missed := o.ended
	o.mu.Unlock()
	err = errors.Join(err, o.stop())
	if missed {
		return errors.Join(err, errors.New("the watch over all objects ended early, so that states were missed"))
	}
	for _, want := range []status.Status{status.CurrentStatus, status.InProgressStatus, status.FailedStatus} {
		if complete && o.statuses[want] == 0 {
			err = errors.Join(err, fmt.Errorf("no object was ever %s: %v", want, o.statuses))
		}
	}
	if len(o.violations) > 0 {
		err = errors.Join(err, fmt.Errorf("%d states could mislead clients:\n%s", len(o.violations),
			strings.Join(o.violations[:min(len(o.violations), 20)], "\n")))
	}
	return err
}

// catchUp waits until the watches have brought the last state of every object
// that is left.
func (o *observer) catchUp(ctx context.Context) error {
	want := map[string]string{}
	for _, version := range []schema.GroupVersion{v1.GroupVersion, v1beta2.GroupVersion} {
		for _, kind := range []string{v1.ImageRepositoryKind, v1.ImagePolicyKind} {
			list := listOf(version, kind)
			if err := suite.api.List(ctx, list); err != nil {
				return err
			}
			for _, object := range list.Items {
				want[version.Version+string(object.GetUID())] = object.GetResourceVersion()
			}
		}
	}
	for o.lacks(want) {
		select {
		case <-ctx.Done():
			return errors.New("the watch over all objects did not bring all of them")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (o *observer) lacks(want map[string]string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, version := range want {
		if o.seen[key] == nil || o.seen[key].version != version {
			return true
		}
	}
	return false
}
