// SPDX-License-Identifier: Apache-2.0

package testenv

import "syscall"

// ownGroup puts a process into its own process group, so that it doesn't receive the terminal's
// signals. It is killed when its parent exits, even if the parent is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
