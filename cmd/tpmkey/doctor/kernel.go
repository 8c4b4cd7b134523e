package doctor

import (
	"os"
	"runtime"
	"strings"
	"time"
)

func readLink(path string) (string, error) { return os.Readlink(path) }

// libc is the check libc: what loads the module must be glibc's.
func libc(m *Machine) outcome {
	glibc := append(m.glob("/lib*/ld-linux*"), m.glob("/lib/*/ld-linux*")...)
	glibc = append(glibc, m.glob("/lib*/libc.so.6")...)
	switch {
	case len(glibc) > 0:
		return ok("glibc (%s)", glibc[0])
	case len(m.glob("/lib/ld-musl-*")) > 0:
		return warn("build the module for it: make build-musl", "musl, which refuses libraries written in Go: only the PKCS #11 module that was built for it loads")
	}
	return warn("", "no C library is seen (%s): nothing here loads the PKCS #11 module", runtime.GOARCH)
}

// lockdown is the check kernel-lockdown (kernel_lockdown(7)). No mode of it keeps programs from the TPM.
func lockdown(m *Machine) outcome {
	modes, err := m.read("/sys/kernel/security/lockdown")
	if err != nil {
		return ok("the kernel does not say: %v", err)
	}
	_, mode, found := strings.Cut(modes, "[")
	mode, _, closed := strings.Cut(mode, "]")
	if !found || !closed {
		return warn("", "the kernel says %q, which is not understood", strings.TrimSpace(modes))
	}
	if mode == "none" {
		return ok("none: root can change the kernel, and see what programs send to the TPM")
	}
	return ok("%s: root cannot change the kernel", mode)
}

// landlock is the check landlock.
func landlock(m *Machine) outcome {
	abi, err := m.Locker()
	if err != nil {
		return warn("add landlock to the kernel's parameter lsm=, or take a kernel from 5.13 on that has it", "programs cannot confine themselves with Landlock: %v", err)
	}
	return ok("programs can confine themselves with Landlock (version %d)", abi)
}

// seccomp is the check seccomp.
func seccomp(m *Machine) outcome {
	actions := m.line("/proc/sys/kernel/seccomp/actions_avail")
	if actions == "" {
		return warn("take a kernel with CONFIG_SECCOMP_FILTER", "programs cannot confine themselves with seccomp")
	}
	for line := range strings.Lines(m.text("/proc/self/status")) {
		if mode, ok2 := strings.CutPrefix(line, "Seccomp:"); ok2 && strings.TrimSpace(mode) == "2" {
			return ok("available, and this program runs under a filter of somebody's")
		}
	}
	return ok("available")
}

// clockMarks are files that a running system keeps writing.
var clockMarks = []string{"/var/lib/systemd/timesync/clock", "/var/lib/systemd/random-seed", "/var/log", "/etc", "/usr"}

// slack is how far a clock may be behind without being wrong: files may come from elsewhere.
const slack = 24 * time.Hour

// clock is the check clock: certificates depend on it.
func clock(m *Machine) outcome {
	const fix = "sudo timedatectl set-ntp true"
	for _, path := range append(clockMarks, m.Dirs...) {
		if info, err := os.Stat(m.path(path)); err == nil && m.Now.Before(info.ModTime().Add(-slack)) {
			return fail(fix, "it is %s, but %s was written on %s", m.Now.Format(time.DateTime), path, info.ModTime().Format(time.DateTime))
		}
	}
	synced, err := m.Synced()
	switch {
	case err != nil:
		return ok("%s; the kernel does not say whether somebody keeps it right: %v", m.Now.Format(time.DateTime), err)
	case !synced:
		return warn(fix, "%s, and nobody keeps it right", m.Now.Format(time.DateTime))
	}
	return ok("%s, and kept right", m.Now.Format(time.DateTime))
}
