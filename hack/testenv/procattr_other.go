// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package testenv

import "syscall"

// ownGroup puts a process into its own process group, so that it doesn't receive the terminal's
// signals.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
