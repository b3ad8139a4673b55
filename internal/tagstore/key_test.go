// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// FuzzKey holds the encoding of keys to what Forget needs: it can be reversed,
// and begins with a name's bytes only for keys of that name.
func FuzzKey(f *testing.F) {
	f.Add("a", "b", "1", "a", "bc")
	f.Add("a", "b", "c", "ab", "c")
	f.Add("", "\x01a", "", "\x01", "a")
	f.Fuzz(func(t *testing.T, namespace, name, uid, otherNamespace, otherName string) {
		key := Key{namespace, name, types.UID(uid)}
		if got, err := parseKey(key.encode()); err != nil || got != key {
			t.Errorf("%q comes back as %q, %v", key, got, err)
		}
		other := types.NamespacedName{Namespace: otherNamespace, Name: otherName}
		if bytes.HasPrefix(key.encode(), appendName(nil, other)) != (key.NamespacedName() == other) {
			t.Errorf("the prefix of %q does not tell whether it is the name of %q", other, key)
		}
	})
}

func TestMalformedKeys(t *testing.T) {
	for _, b := range []string{"", "\x01", "\x01a", "\x01a\x05b", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if key, err := parseKey([]byte(b)); !errors.Is(err, ErrDamaged) {
			t.Errorf("parseKey(%q) = %q, %v", b, key, err)
		}
	}
}
