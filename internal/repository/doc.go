// SPDX-License-Identifier: Apache-2.0

// Package repository holds decisions about the repository of a policy: which one it refers to,
// which namespaces may use it, and when a missing tag needs confirmation. It does no I/O. The
// controller and the explain command share it.
package repository
