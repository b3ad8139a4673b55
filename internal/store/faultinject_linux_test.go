// SPDX-License-Identifier: Apache-2.0

//go:build linux

package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Faults are injected into system calls. A seccomp filter notifies this process of every call that
// opens, writes, syncs, renames or removes a file, and faults decides whether to continue it, to
// return an error, or to kill the process. Filters can't be removed, so each test runs in its own
// process.

// faultDir is the environment variable that makes this process run a test under a filter. Its value
// is the test's directory.
const faultDir = "STORE_FAULT_DIR"

// call is an intercepted system call.
type call struct {
	name string // value in intercepted
	file string // the base name of its file, if it has one
}

var intercepted = map[int32]string{
	unix.SYS_PWRITE64: "write", unix.SYS_FSYNC: "fsync", unix.SYS_OPENAT: "open", unix.SYS_RENAMEAT: "rename",
	unix.SYS_RENAMEAT2: "rename", unix.SYS_UNLINKAT: "unlink", unix.SYS_MKDIRAT: "mkdir",
}

// faults decides the results of system calls.
type faults struct {
	mu     sync.Mutex
	decide func(call) syscall.Errno // 0 to continue
}

// set replaces the function that decides the results.
func (f *faults) set(decide func(call) syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide = decide
}

func (f *faults) result(c call) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.decide != nil {
		if errno := f.decide(c); errno != 0 {
			return errno
		}
	}
	return 0
}

// underFaults runs a test in a separate process whose system calls are intercepted, and returns its
// output.
func underFaults(t *testing.T, dir string, test func(dir string, f *faults), env ...string) (string, error) {
	t.Helper()
	if testDir := os.Getenv(faultDir); testDir != "" {
		f := &faults{}
		if err := f.install(); err != nil {
			fmt.Println("installing the filter:", err)
			os.Exit(noFilter)
		}
		test(testDir, f)
		return "", nil
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s", "-test.count=1")
	cmd.Env = append(append(os.Environ(), faultDir+"="+dir, "GODEBUG=asyncpreemptoff=1"), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == noFilter {
		t.Skipf("SKIPPED, NOTHING IS TESTED: the kernel allows no seccomp filter here: %s", out)
	}
	return string(out), err
}

const noFilter = 77

// notification and response are the messages between the kernel and the listener.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// install applies the filter to all threads of the process and starts the listener.
func (f *faults) install() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := program()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	flags := unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC |
		unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	go f.listen(listener)
	return nil
}

func (f *faults) listen(listener uintptr) {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			continue // interrupted
		}
		r := response{id: n.id}
		if errno := f.result(describe(&n)); errno != 0 {
			r.error = -int32(errno)
		} else {
			r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	}
}

// program returns the BPF program of the filter.
func program() []unix.SockFilter {
	const load, jumpEqual, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: load, K: 0}} // the number of the call
	for nr := range intercepted {
		filter = append(filter,
			unix.SockFilter{Code: jumpEqual, K: uint32(nr), Jf: 1},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	return append(filter, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}

// describe returns the system call of a seccomp notification. Paths in memory are not read: for calls with a path,
// file is the folder of the path.
func describe(n *notification) call {
	c := call{name: intercepted[n.nr]}
	if path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", int32(n.args[0]))); err == nil {
		c.file = filepath.Base(path)
	}
	return c
}
