// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

const (
	// clockGrain is the error of an age that is computed from two times in whole seconds.
	clockGrain = 2 * time.Second
	// reasonKey is the key of an event's metadata that only events about a new selection have, and
	// tagKey that of its tag.
	reasonKey = "image.toolkit.fluxcd.io/reason"
	tagKey    = "image.toolkit.fluxcd.io/tag"
	// maxProblems bounds the number of reported problems.
	maxProblems = 100
)

// observer checks every status that is written to a policy, and every event about a policy. It
// serves the address of --events-addr.
type observer struct {
	*fixture
	receiver *httptest.Server

	mu       sync.Mutex
	selected map[string]*v1.ImageRef // by policy
	// selections and events count the selections of each policy and tag, in statuses and in events. A
	// tag is rarely selected twice: if the newer one is removed when a lost store makes it too young.
	selections, events map[selectionKey]int
	statuses           int
	problems           []string
}

// selectionKey is the key of a selection.
type selectionKey struct{ policy, tag string }

func newObserver(f *fixture) *observer {
	o := &observer{
		fixture: f, selected: map[string]*v1.ImageRef{}, selections: map[selectionKey]int{}, events: map[selectionKey]int{},
	}
	o.receiver = httptest.NewServer(http.HandlerFunc(o.receive))
	return o
}

// watch checks the statuses of all policies until ctx ends.
func (o *observer) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		policies, err := o.api.Watch(ctx, &v1.ImagePolicyList{}, client.InNamespace(namespace)) // begins with the existing objects
		if err != nil {
			return cancelled(ctx, err)
		}
		for event := range policies.ResultChan() {
			policy, ok := event.Object.(*v1.ImagePolicy)
			if !ok {
				continue
			}
			pair, err := pairOf(policy)
			if err != nil {
				return err
			}
			o.check(policy, pair)
		}
		policies.Stop()
	}
	return nil
}

// cancelled returns an error, or nil if ctx has ended, which causes errors.
func cancelled(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// pairOf returns the number of a policy's pair.
func pairOf(policy *v1.ImagePolicy) (int, error) {
	var pair int
	_, err := fmt.Sscanf(policy.Name, "app-%d", &pair)
	return pair, err
}

// check checks the status of a policy.
func (o *observer) check(policy *v1.ImagePolicy, pair int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.statuses++
	before, now := o.selected[policy.Name], policy.Status.LatestRef
	if now == nil {
		if before != nil {
			o.problem("%s lost its ref %s", policy.Name, before)
		}
		return
	}
	if previous := policy.Status.ObservedPreviousRef; previous != nil && *previous == *now {
		o.problem("%s has the ref %s, and the same previous one", policy.Name, now)
	}
	for i, entry := range policy.Status.History {
		if i > 0 && entry.Tag == policy.Status.History[i-1].Tag && entry.Digest == policy.Status.History[i-1].Digest {
			o.problem("%s has two consecutive entries for %s in its history", policy.Name, entry.Tag)
		}
	}
	if before == nil || *before != *now {
		o.selections[selectionKey{policy.Name, now.Tag}]++
		o.checkSelection(policy, pair, before)
	}
	o.selected[policy.Name] = now
}

// checkSelection checks a new selection of a policy.
func (o *observer) checkSelection(policy *v1.ImagePolicy, pair int, before *v1.ImageRef) {
	registry, name, now := o.registryOf(pair), repositoryOf(pair), policy.Status.LatestRef
	if want := registry.digestOf(name, now.Tag); now.Digest != want {
		o.problem("%s has the ref %s, but the digest of the tag was always %s", policy.Name, now, want)
	}
	// a removed tag is never pushed again, so this is true whenever it was removed
	if before != nil && numberOf(now.Tag) <= numberOf(before.Tag) && slices.Contains(registry.tags(name), before.Tag) {
		o.problem("%s moved from %s to %s although the registry has both", policy.Name, before, now)
	}
	at := time.Now()
	if history := policy.Status.History; len(history) > 0 && history[0].SelectedAt != nil {
		at = history[0].SelectedAt.Time
	}
	if why := o.load.gates(pair).forbidden(now.Tag, registry.createdAt(name, now.Tag), at.Add(clockGrain)); why != "" {
		o.problem("%s has the ref %s, which its gates forbid: %s", policy.Name, now, why)
	}
}

// receive receives an event as the notification-controller does.
func (o *observer) receive(_ http.ResponseWriter, req *http.Request) {
	var event struct {
		InvolvedObject corev1.ObjectReference `json:"involvedObject"`
		Metadata       map[string]string      `json:"metadata"`
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := json.NewDecoder(req.Body).Decode(&event); err != nil {
		o.problem("an event can't be decoded: %v", err)
		return
	}
	if event.InvolvedObject.Kind == v1.ImagePolicyKind && event.Metadata[reasonKey] != "" {
		o.events[selectionKey{event.InvolvedObject.Name, event.Metadata[tagKey]}]++
	}
}

// checkEvents checks that no selection has more than one event. It is called when all statuses have
// been received. An event may be lost with its process.
func (o *observer) checkEvents() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, events := range o.events {
		if selections := o.selections[key]; events > selections {
			o.problem("%s selected %s %d times, but there are %d events about that", key.policy, key.tag, selections, events)
		}
	}
}

// sum returns the sum of all counts.
func sum(counts map[selectionKey]int) int {
	total := 0
	for _, count := range counts {
		total += count
	}
	return total
}

// problem adds a problem. The caller holds the lock.
func (o *observer) problem(format string, args ...any) {
	if len(o.problems) < maxProblems {
		o.problems = append(o.problems, time.Now().Format(time.TimeOnly)+" "+fmt.Sprintf(format, args...))
	}
}

// fail adds problems from other checks.
func (o *observer) fail(problems ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.problems = append(o.problems, problems...)
}

// failure returns the problems as an error.
func (o *observer) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(o.problems, "\n"))
}

// numberOf returns the number of a version of versionOf, 0 for another tag.
func numberOf(tag string) int {
	var number int
	_, _ = fmt.Sscanf(strings.TrimPrefix(tag, "1."), "%d", &number)
	return number
}
