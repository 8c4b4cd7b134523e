package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
)

// The control socket makes descriptors for root, who hands them on: connected sockets that talk as the one for everybody does. What they can do is fixed here, whatever
// becomes of the process that asked, and of those that hold them.

// controlMode lets nobody but us connect.
const controlMode = 0o600

var errNotOurs = errors.New("only root asks here")

// answerControl serves one request.
func (s *server) answerControl(conn *net.UnixConn, _ string) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(control.Patience))
	theirs, a, err := s.makeDescriptor(conn)
	if errors.Is(err, io.EOF) {
		return // somebody has only looked whether we are there
	}
	if err != nil {
		a.Error = err.Error()
		s.log.Printf("control: %v", err)
	}
	if err := control.Write(conn, a, theirs); err != nil {
		s.log.Printf("control: %v", err)
	}
	if theirs >= 0 {
		unix.Close(theirs)
	}
}

// makeDescriptor makes what a request asks for: the other end is a client by then.
func (s *server) makeDescriptor(conn *net.UnixConn) (theirs int, a control.Answer, err error) {
	asker, err := callerAt(conn, "")
	if err != nil {
		return -1, a, err
	}
	var q control.Request
	err = control.Read(conn, &q) // first: an answer to what is still on its way would be lost
	if asker.uid != 0 && int(asker.uid) != os.Geteuid() {
		return -1, a, errNotOurs
	}
	if err != nil {
		return -1, a, fmt.Errorf("request: %w", err)
	}
	if q.Usage {
		return -1, control.Answer{Usage: s.tellUsage()}, nil
	}
	g, err := s.requested(q)
	if err != nil {
		return -1, a, err
	}
	c, err := s.enter(caller{uid: q.UID, pid: asker.pid, process: processOf(asker.pid, q.UID)}, g)
	if err != nil {
		return -1, a, err
	}
	ours, theirs, err := pair()
	if err != nil {
		c.leave()
		return -1, a, err
	}
	s.refuseDescriptors(ours)
	s.clients.Go(func() {
		g := s.newGuest(ours)
		s.note(g)
		defer s.forget(g)
		s.attend(g, c)
	})
	return theirs, control.Answer{Filter: g.filter.Name()}, nil
}

// tellUsage says who uses the TPM.
func (s *server) tellUsage() *control.Usage {
	s.mu.Lock()
	s.watched = time.Now()
	s.mu.Unlock()
	return &control.Usage{PID: os.Getpid(), Chips: s.chips.numbers(), Users: s.usage.users(), Commands: s.usage.byCommand(), Denied: s.usage.denials()}
}

// requested is the grant that a request asks for.
func (s *server) requested(q control.Request) (grant, error) {
	g := grant{filter: s.rules.current().everybody.filter, chip: anyChip, locality: q.Locality, sealed: q.Seal}
	if q.Chip != nil && *q.Chip < 0 {
		return g, fmt.Errorf("chip %d: chips are numbered from 0", *q.Chip)
	} else if q.Chip != nil {
		g.chip = *q.Chip
	}
	var err error
	switch {
	case q.Filter != "" && q.Profile != "":
		err = errors.New("a filter by name or by its text, not both")
	case q.Filter != "":
		g.filter, err = filter.Named(q.Filter)
	case q.Profile != "":
		g.filter, err = filter.Parse(q.Profile)
	}
	return g, err
}

// pair makes two connected sockets: ours, and one to hand out.
func pair() (ours *net.UnixConn, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, err
	}
	file := os.NewFile(uintptr(fds[0]), "client")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, err
	}
	return conn.(*net.UnixConn), fds[1], nil
}
