package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What /proc says of a thread that waits in a call to us: as long as it waits, it keeps its number and its rights.

// initialUserNamespace is the inode of the first user namespace, the same on every machine (PROC_USER_INIT_INO, include/linux/proc_ns.h).
const initialUserNamespace = 0xEFFFFFFD

// thread reads what is known of one. 0 stands for threads that are not to be seen from here, of whom nothing is.
func thread(tid int32) (status, error) {
	if tid <= 0 {
		return nil, fmt.Errorf("no thread %d", tid)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	return status(text), err
}

// A status is the text of /proc/<tid>/status.
type status []byte

// field gives what stands behind a name.
func (s status) field(name string) string {
	for line := range strings.Lines(string(s)) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// bit tells whether a bit of a field in hexadecimal is set. A field that is not there has none.
func (s status) bit(name string, number int) bool {
	mask, err := strconv.ParseUint(s.field(name), 16, 64)
	return err == nil && mask>>number&1 != 0
}

// processNumber is that of the process of a thread, or the thread's own where that is not known.
func processNumber(tid int32) int32 {
	s, err := thread(tid)
	if err != nil {
		return tid
	}
	if pid, err := strconv.ParseInt(s.field("Tgid"), 10, 32); err == nil {
		return int32(pid)
	}
	return tid
}

// isKilled tells whether SIGKILL waits for a thread, alone or with its process.
func isKilled(tid int32) bool {
	s, err := thread(tid)
	return err == nil && (s.bit("SigPnd", int(unix.SIGKILL)-1) || s.bit("ShdPnd", int(unix.SIGKILL)-1))
}

// isRoot tells whether a thread is root as the machine knows it: of uid 0 alone that is not sure, it may be a container's or have given its rights away.
func isRoot(uid uint32, tid int32) bool {
	if uid != 0 {
		return false
	}
	s, err := thread(tid)
	if err != nil || !s.bit("CapEff", unix.CAP_SYS_ADMIN) {
		return false
	}
	var namespace unix.Stat_t
	err = unix.Stat(fmt.Sprintf("/proc/%d/ns/user", tid), &namespace)
	return err == nil && namespace.Ino == initialUserNamespace
}
