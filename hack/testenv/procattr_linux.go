// SPDX-License-Identifier: Apache-2.0

package testenv

import "syscall"

// ownGroup keeps the terminal's signals from a process. It also ends with the
// one who started it, however that one ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
