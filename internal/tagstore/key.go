// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"encoding/binary"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// appendName appends what all keys of an object's name begin with, and no
// others: namespace and name, each after its length as uvarint.
func appendName(b []byte, name types.NamespacedName) []byte {
	for _, part := range []string{name.Namespace, name.Name} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// encode returns the bytes that stand for the key in a file: appendName, then
// the UID up to the end. No two keys have the same.
func (k Key) encode() []byte {
	return append(appendName(nil, k.NamespacedName()), k.UID...)
}

// parseKey is the reverse of encode. Its errors wrap ErrDamaged.
func parseKey(b []byte) (Key, error) {
	in := input{rest: b}
	namespace := in.take(in.uvarint())
	name := in.take(in.uvarint())
	if in.failed {
		return Key{}, fmt.Errorf("%w: malformed key %q", ErrDamaged, b)
	}
	return Key{Namespace: string(namespace), Name: string(name), UID: types.UID(in.rest)}, nil
}
