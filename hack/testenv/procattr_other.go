// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package testenv

import "syscall"

// ownGroup keeps the terminal's signals from a process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
