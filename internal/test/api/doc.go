// SPDX-License-Identifier: Apache-2.0

// Package api holds the API to its promises on a real API server: what it
// admits, what it rejects and with which words, what it fills in, and how both
// versions show the same object. It has tests only.
package api
