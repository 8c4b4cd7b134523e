package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A process is the one that a caller came from. Its number may be another one's by now, so nothing is believed of /proc before the process has been seen to live on
// and to be of the caller's uid: one that has become somebody else by a setuid program says nothing of him who called.
type process struct {
	pid  int32
	uid  uint32
	open func() (pidfd int, err error)
}

var errOtherProcess = errors.New("the process is not the caller's any more")

// processAt is the process that connected to a socket. Since Linux 6.5 the kernel hands it out itself; before, its number could in principle have gone to another
// process of the same user meanwhile.
func processAt(conn *net.UnixConn, pid int32, uid uint32) process {
	return process{pid, uid, func() (int, error) {
		fd, err := socketOption(conn, func(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD) })
		if errors.Is(err, unix.ENOPROTOOPT) {
			return pidfd(pid)
		}
		return fd, err
	}}
}

// processOf is the process of a number that the kernel has just told.
func processOf(pid int32, uid uint32) process {
	return process{pid, uid, func() (int, error) { return pidfd(pid) }}
}

func pidfd(pid int32) (int, error) {
	if pid <= 0 {
		return 0, errOtherProcess // of another pid namespace
	}
	return unix.PidfdOpen(int(pid), 0)
}

// about does something with the process's directory in /proc, and reports an error unless that was the caller's all the time.
func (p process) about(ask func(dir string) error) error {
	if p.open == nil {
		return errOtherProcess
	}
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	dir := filepath.Join("/proc", strconv.Itoa(int(p.pid)))
	if err := errors.Join(p.sameUID(dir), ask(dir)); err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil && err != unix.EPERM {
		return errOtherProcess
	}
	return nil
}

// sameUID makes sure that the real, effective, saved and file system uids are the caller's (proc_pid_status(5)).
func (p process) sameUID(dir string) error {
	uids, err := statusLine(dir, "Uid:")
	if err != nil || len(uids) != 4 {
		return errors.Join(errOtherProcess, err)
	}
	for _, uid := range uids {
		if uid != p.uid {
			return errOtherProcess
		}
	}
	return nil
}

// statusLine gives the numbers of a line of /proc/PID/status.
func statusLine(dir, name string) (numbers []uint32, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		for _, field := range strings.Fields(rest) {
			n, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, uint32(n))
		}
		return numbers, nil
	}
	return nil, fmt.Errorf("%s/status has no line %s", dir, name)
}

// groups are the supplementary ones.
func (p process) groups() (groups []uint32, err error) {
	err = p.about(func(dir string) (err error) {
		groups, err = statusLine(dir, "Groups:")
		return err
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

// cgroups are the paths in all hierarchies (cgroups(7)).
func (p process) cgroups() ([]string, error) {
	var text []byte
	err := p.about(func(dir string) (err error) {
		text, err = os.ReadFile(filepath.Join(dir, "cgroup"))
		return err
	})
	if err != nil {
		return nil, err
	}
	return cgroupPaths(string(text)), nil
}

// cgroupPaths reads lines of "hierarchy:controllers:path".
func cgroupPaths(text string) (paths []string) {
	for line := range strings.Lines(text) {
		if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3); len(fields) == 3 {
			paths = append(paths, fields[2])
		}
	}
	return paths
}

// program is the file that the process runs, else the name that it goes by.
func (p process) program() (name string, err error) {
	err = p.about(func(dir string) (err error) {
		if name, err = os.Readlink(filepath.Join(dir, "exe")); err == nil {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(dir, "comm"))
		name = strings.TrimSuffix(string(text), "\n")
		return err
	})
	return name, err
}

// socketOption asks the kernel something of a socket.
func socketOption[T any](conn syscall.Conn, ask func(fd int) (T, error)) (answer T, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return answer, err
	}
	var askErr error
	err = raw.Control(func(fd uintptr) { answer, askErr = ask(int(fd)) })
	return answer, errors.Join(err, askErr)
}
