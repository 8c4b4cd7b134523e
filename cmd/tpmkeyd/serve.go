package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/wire"
)

// What a client may do to us.
const (
	// patience is how long the rest of a command may take once its first byte has come, and how long a response may wait to be read.
	patience = 10 * time.Second
	// maxConnections is how many a principal may have at once. Further ones are closed.
	maxConnections = 256
)

// rcIOError is TSS2_RESMGR_TPM_RC_LAYER with TSS2_BASE_RC_IO_ERROR: the chip could not be asked.
const rcIOError tpm2.TPMRC = 0x000B000A

// A server gives each connection a space of its own.
type server struct {
	manager *rm.Manager
	filter  *filter.Filter
	log     *log.Logger
	denials limiter

	mu          sync.Mutex
	connections map[net.Conn]uint32 // principal
	count       map[uint32]int      // of connections of each
}

func newServer(m *rm.Manager, f *filter.Filter, l *log.Logger) *server {
	return &server{manager: m, filter: f, log: l, connections: map[net.Conn]uint32{}, count: map[uint32]int{}}
}

// serve accepts clients until the context ends, then sends all of them away and waits until nothing of theirs is on the chip.
func (s *server) serve(stopped context.Context, l *net.UnixListener) error {
	var clients sync.WaitGroup
	stopAccepting := context.AfterFunc(stopped, func() { l.Close() })
	defer stopAccepting()
	for {
		conn, err := l.AcceptUnix()
		switch {
		case err == nil:
			clients.Go(func() { s.client(conn) })
		case stopped.Err() != nil:
			s.manager.Close() // first: whoever comes now gets no space
			s.closeAll()
			clients.Wait()
			return nil
		case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
			s.log.Printf("no more connections: %v", err)
			time.Sleep(100 * time.Millisecond)
		default:
			return fmt.Errorf("accept: %w", err)
		}
	}
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.connections {
		conn.Close()
	}
}

// client serves one connection to its end.
func (s *server) client(conn *net.UnixConn) {
	defer conn.Close()
	peer, err := peerOf(conn)
	if err != nil {
		s.log.Printf("a client without credentials: %v", err)
		return
	}
	principal := s.manager.PrincipalOf(peer.Uid)
	if !s.admit(conn, principal) {
		s.denials.printf(s.log, principal, "refused uid=%d pid=%d: more than %d connections", peer.Uid, peer.Pid, maxConnections)
		return
	}
	defer s.forget(conn)
	space, err := s.manager.Open(rm.Options{UID: peer.Uid, Filter: s.filter, Denied: func(d filter.Decision, code tpm2.TPMCC) {
		s.logDenial(principal, peer, d, code)
	}})
	if err != nil {
		return // we are about to stop
	}
	defer space.Close()
	if err := s.exchange(conn, space, principal); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		s.denials.printf(s.log, principal, "closed uid=%d pid=%d: %v", peer.Uid, peer.Pid, err)
	}
}

// peerOf is who connected: the kernel's word, fixed when the connection was made.
func peerOf(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	var sockErr error
	err = raw.Control(func(fd uintptr) { peer, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return peer, errors.Join(err, sockErr)
}

func (s *server) admit(conn net.Conn, principal uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[principal] >= maxConnections && principal != 0 {
		return false
	}
	s.connections[conn] = principal
	s.count[principal]++
	return true
}

func (s *server) forget(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	principal := s.connections[conn]
	delete(s.connections, conn)
	if s.count[principal]--; s.count[principal] == 0 {
		delete(s.count, principal)
	}
}

// exchange answers one command after the other. A chip that fails is the client's next answer; a client that does not keep to the
// framing is sent away.
func (s *server) exchange(conn net.Conn, space *rm.Space, principal uint32) error {
	commands := reader{conn: conn}
	for {
		command, err := commands.command()
		if err != nil {
			return err
		}
		response, err := space.Send(command)
		if errors.Is(err, rm.ErrClosed) {
			return io.EOF
		} else if err != nil {
			s.denials.printf(s.log, principal, "chip: %v", err)
			response = wire.ErrorResponse(rcIOError)
		}
		if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := conn.Write(response); err != nil {
			return fmt.Errorf("a response was not taken: %w", err)
		}
	}
}
