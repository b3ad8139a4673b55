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

// observer checks every state of every object during all tests, in both versions of the API, and
// records those that violate the rules of conformance.
type observer struct {
	watches []watch.Interface
	readers sync.WaitGroup

	mu         sync.Mutex
	seen       map[string]*seen // by version and UID
	statuses   map[status.Status]int
	violations []string
	ended      bool
}

// seen is the last observed state of an object.
type seen struct {
	version string // resource version
	state   *conformance.State
	// A status that a test writes is not checked until the controller changes it.
	foreign       string // the writes of tests, empty for none
	foreignStatus string // the status that the test wrote, until the controller changes it
}

// controllerManager is the field manager of the controller.
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
			o.ended = true // an error ends the watch
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
	current := next(last, object)
	current.version, current.state = object.GetResourceVersion(), state
	o.seen[key] = current
	if current.foreignStatus != "" {
		return
	}
	problems := state.Violations()
	if last != nil && last.foreignStatus == "" && change == watch.Modified {
		problems = append(problems, state.Change(last.state)...)
	}
	if len(problems) > 0 {
		o.violations = append(o.violations, version+" "+state.String()+"\n    : "+strings.Join(problems, "\n    : "))
	}
	if result, err := state.Kstatus(); err == nil {
		o.statuses[result]++
	}
}

// next returns the state after last with the writes of tests updated.
func next(last *seen, object *unstructured.Unstructured) *seen {
	current := &seen{}
	if last != nil {
		current.foreign, current.foreignStatus = last.foreign, last.foreignStatus
	}
	writes := foreignWrites(object.GetManagedFields())
	content := statusText(object)
	switch {
	case writes != current.foreign:
		current.foreign, current.foreignStatus = writes, content
	case content != current.foreignStatus:
		current.foreignStatus = ""
	}
	return current
}

// foreignWrites identifies the last writes to the status by other field managers than the
// controller.
func foreignWrites(entries []metav1.ManagedFieldsEntry) string {
	var writes []string
	for _, entry := range entries {
		if entry.Subresource == "status" && entry.Manager != controllerManager {
			writes = append(writes, entry.Manager+entry.Time.UTC().Format(time.RFC3339)+entry.FieldsV1.String())
		}
	}
	return strings.Join(writes, " ")
}

func statusText(object *unstructured.Unstructured) string {
	content, err := json.Marshal(object.Object["status"])
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// check stops the watches after they have received all states, and returns the violations.
// complete is set if all tests ran, which produce every status.
func (o *observer) check(ctx context.Context, complete bool) error {
	err := o.catchUp(ctx)
	o.mu.Lock()
	missed := o.ended
	o.mu.Unlock()
	err = errors.Join(err, o.stop())
	if missed {
		return errors.Join(err, errors.New("the watch of all objects ended early, so that states may be missing"))
	}
	for _, want := range []status.Status{status.CurrentStatus, status.InProgressStatus, status.FailedStatus} {
		if complete && o.statuses[want] == 0 {
			err = errors.Join(err, fmt.Errorf("no object was ever %s: %v", want, o.statuses))
		}
	}
	if len(o.violations) > 0 {
		err = errors.Join(err, fmt.Errorf("%d states violate the rules of conformance:\n%s", len(o.violations),
			strings.Join(o.violations[:min(len(o.violations), 20)], "\n")))
	}
	return err
}

// catchUp waits until the watches have received the last state of every existing object.
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
	for o.isMissing(want) {
		select {
		case <-ctx.Done():
			return errors.New("the watch of all objects did not return all of them")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// isMissing reports whether a resource version, by version and UID, was not observed yet.
func (o *observer) isMissing(want map[string]string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, version := range want {
		if o.seen[key] == nil || o.seen[key].version != version {
			return true
		}
	}
	return false
}
