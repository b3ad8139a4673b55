// SPDX-License-Identifier: Apache-2.0

package store

// IndexAllFacts makes a store index small logs of facts, too.
func IndexAllFacts(s *Store) *Store {
	s.minIndexed = 0
	return s
}
