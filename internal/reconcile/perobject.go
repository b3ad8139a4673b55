// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// PerObject holds a value for each object in memory, until the object is deleted. The zero value
// is empty. It is safe for concurrent use.
type PerObject[V any] struct {
	mu     sync.Mutex
	values map[types.NamespacedName]V
}

// Get returns the value of an object, or the zero value.
func (p *PerObject[V]) Get(name types.NamespacedName) V {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[name]
}

// Update atomically replaces the value of an object with the result of change, and returns it.
func (p *PerObject[V]) Update(name types.NamespacedName, change func(old V, found bool) V) V {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.values == nil {
		p.values = map[types.NamespacedName]V{}
	}
	old, found := p.values[name]
	p.values[name] = change(old, found)
	return p.values[name]
}

// Forget removes the value of an object.
func (p *PerObject[V]) Forget(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.values, name)
}
