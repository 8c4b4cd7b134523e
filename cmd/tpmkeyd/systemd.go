package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What systemd and a service tell one another: sockets that it has made (sd_listen_fds(3)), and what the service is about to do (sd_notify(3)).

// The names of our sockets in the .socket units, and the first descriptor.
const (
	socketForAll = "tpms"
	socketOfRoot = "control"
	firstHanded  = 3
)

// handedSockets are the sockets that systemd has handed to this very process, by their names. Whatever we start hears nothing of them.
func handedSockets() (map[string]*net.UnixListener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n != len(names) {
		return nil, fmt.Errorf("systemd hands over %q sockets with %d names; use the units that come with tpmkeyd", count, len(names))
	}
	handed := map[string]*net.UnixListener{}
	for i, name := range names {
		if handed[name], err = handedSocket(firstHanded+i, name); err != nil {
			return nil, err
		}
	}
	return handed, nil
}

func handedSocket(fd int, name string) (*net.UnixListener, error) {
	if name != socketForAll && name != socketOfRoot {
		return nil, fmt.Errorf("systemd hands over a socket by the name of %q; ours are %s and %s (FileDescriptorName=)", name, socketForAll, socketOfRoot)
	}
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("the socket %s of systemd: %w", name, err)
	}
	listener, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("the socket %s of systemd is no Unix stream socket", name)
	}
	return listener, nil
}

// notify tells systemd something, if it wants to know.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd %s: %w", state, err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}
