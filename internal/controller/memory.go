// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// perObject remembers something of each object, until the object is gone. The
// zero value remembers nothing. It is safe for concurrent use.
type perObject[V any] struct {
	mu     sync.Mutex
	values map[types.NamespacedName]V
}

// get returns what is remembered of an object, the zero value where nothing is.
func (p *perObject[V]) get(name types.NamespacedName) V {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.values[name]
}

// update remembers, and returns, what change makes of that which is remembered of
// an object, if it was found. Nobody else sees or changes anything meanwhile.
func (p *perObject[V]) update(name types.NamespacedName, change func(old V, found bool) V) V {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.values == nil {
		p.values = map[types.NamespacedName]V{}
	}
	old, found := p.values[name]
	p.values[name] = change(old, found)
	return p.values[name]
}

// forget drops what is remembered of an object that is gone.
func (p *perObject[V]) forget(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.values, name)
}
