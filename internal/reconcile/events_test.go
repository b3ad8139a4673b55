// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

// receiver records the messages of each object, and blocks until wait is closed unless it is nil.
type receiver struct {
	record.EventRecorder
	wait chan struct{}

	mu       sync.Mutex
	received map[types.UID][]string
}

func (r *receiver) AnnotatedEventf(obj runtime.Object, _ map[string]string, _, _, format string, args ...any) {
	if r.wait != nil {
		<-r.wait
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	uid := obj.(*v1.ImagePolicy).UID
	r.received[uid] = append(r.received[uid], fmt.Sprintf(format, args...))
}

func TestEventQueue_KeepsOrderAndDrains(t *testing.T) {
	g := NewWithT(t)
	r := &receiver{received: map[types.UID][]string{}}
	queue := NewEventQueue(r)
	want := map[types.UID][]string{}
	for i := range 100 {
		for _, uid := range []types.UID{"a", "b", "c"} {
			message := fmt.Sprint("100% sure ", i)
			p := policy()
			p.UID = uid
			queue.Publish(p, conditions.Event{Message: message})
			want[uid] = append(want[uid], message)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop() // queued events are still published
	g.Expect(queue.Start(ctx)).To(Succeed())
	g.Expect(r.received).To(Equal(want))
}

func TestEventQueue_DoesNotBlockOnHangingReceiver(t *testing.T) {
	g := NewWithT(t)
	r := &receiver{received: map[types.UID][]string{}, wait: make(chan struct{})}
	queue := NewEventQueue(r)
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- queue.Start(ctx) }()
	for range 3 * maxQueued { // more than the queue holds
		queue.Publish(policy(), conditions.Event{Message: "news"})
	}
	stop()
	g.Eventually(stopped, 2*drainTime).Should(Receive(BeNil()))
	close(r.wait)
}
