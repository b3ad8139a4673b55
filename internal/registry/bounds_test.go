/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestManyWays tests that ten thousand repositories, each with a proxy or
// certificates of its own, keep a bounded number of transports, connections and
// files.
func TestManyWays(t *testing.T) {
	checkGoroutines(t)
	reg, img := start(t)
	c := newTestClient(t, WithTraffic(Traffic{}))
	files := openFiles(t)
	for i := range 10_000 {
		if _, err := c.Digest(t.Context(), img, "1.0.0", via(fmt.Sprint(i), nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.routes.entries); n != maxRoutes {
		t.Errorf("got %d transports, want %d", n, maxRoutes)
	}
	if n := len(c.doors.entries); n != maxDoors {
		t.Errorf("got %d doors, want %d", n, maxDoors)
	}
	// One was used after the other, so each keeps one connection. A few more may
	// be on their way to the end.
	if n := reg.PeakConnections(); n > maxRoutes+32 {
		t.Errorf("%d connections were open at a time", n)
	}
	if more := openFiles(t) - files; more > 2*(maxRoutes+32) { // the registry has the other ends
		t.Errorf("%d files were opened and not closed", more)
	}
}

// TestManyHosts tests that many registries keep a bounded number of doors,
// gates and idle connections.
func TestManyHosts(t *testing.T) {
	checkGoroutines(t)
	reg := registrytest.Start(t)
	reg.Push(t, "app", "1.0.0")
	clock := newFakeClock()
	c := newTestClient(t, withClock(clock))
	c.transport.DialContext = dialTo(reg.Host())
	for i := range 2 * maxDoors {
		img := parse(t, fmt.Sprintf("10.1.%d.%d:5000/app", i/256, i%256)) // reached over plain HTTP
		if _, err := c.Digest(t.Context(), img, "1.0.0", AuthOptions{}); err != nil {
			t.Fatal(err)
		}
		clock.sleep(time.Second)
	}
	if n := len(c.doors.entries); n != maxDoors {
		t.Errorf("got %d doors, want %d", n, maxDoors)
	}
	if n := len(c.gates.hosts); n > manyGates {
		t.Errorf("got %d gates, want no more than %d", n, manyGates)
	}
	if n := reg.PeakConnections(); n > c.transport.MaxIdleConns+32 {
		t.Errorf("%d connections were open at a time, want about %d", n, c.transport.MaxIdleConns)
	}
}

// TestSessionsAreBounded tests that what is learned about repositories, and
// their tokens, is bounded too.
func TestSessionsAreBounded(t *testing.T) {
	c := newTestClient(t)
	before := heap()
	for i := range maxSessions + 10_000 {
		s, err := c.session(parse(t, fmt.Sprintf("registry.example.com/app-%d", i)), AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.habits.noSize.Store(true)
	}
	if n := len(c.sessions.entries); n != maxSessions {
		t.Errorf("got %d sessions, want %d", n, maxSessions)
	}
	if each := (heap() - before) / maxSessions; each > 3000 {
		t.Errorf("a session without a token takes %d bytes", each)
	}
	s, err := c.session(parse(t, "registry.example.com/app-0"), AuthOptions{})
	if err != nil || s.habits.noSize.Load() {
		t.Errorf("the oldest session is still known: error %v", err)
	}
}
