// SPDX-License-Identifier: Apache-2.0

// Package repository holds the decisions about the latest image that need more than
// a rule: which repository a policy selects from, who lets it, and when a list
// of tags is doubted. It is pure: the controller decides by it, and the explain
// command tells what the controller decides.
package repository
