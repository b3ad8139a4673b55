// SPDX-License-Identifier: Apache-2.0

// Package candidate decides whether a tag that a policy ranks may be selected:
// whether its image passes the gates of the policy. It is pure: what a registry
// has to be asked for is returned as a need, and what was learned is a value.
package candidate
