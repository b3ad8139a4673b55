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

// receiver keeps the messages of each object, and can be slow.
type receiver struct {
	record.EventRecorder
	wait chan struct{}

	mu   sync.Mutex
	told map[types.UID][]string
}

func (r *receiver) AnnotatedEventf(obj runtime.Object, _ map[string]string, _, _, format string, args ...any) {
	if r.wait != nil {
		<-r.wait
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	uid := obj.(*v1.ImagePolicy).UID
	r.told[uid] = append(r.told[uid], fmt.Sprintf(format, args...))
}

func TestEventQueue_KeepsOrderAndDrains(t *testing.T) {
	g := NewWithT(t)
	r := &receiver{told: map[types.UID][]string{}}
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
	stop() // what is queued is published even then
	g.Expect(queue.Start(ctx)).To(Succeed())
	g.Expect(r.told).To(Equal(want))
}

func TestEventQueue_DoesNotBlockOnHangingReceiver(t *testing.T) {
	g := NewWithT(t)
	r := &receiver{told: map[types.UID][]string{}, wait: make(chan struct{})}
	queue := NewEventQueue(r)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Start(ctx) }()
	for range 3 * maxQueued { // more than fit
		queue.Publish(policy(), conditions.Event{Message: "news"})
	}
	stop()
	g.Eventually(ended, 2*drainTime).Should(Receive(BeNil()))
	close(r.wait)
}
