package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"
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

// A server gives each caller a space of his own, whichever way he comes.
type server struct {
	chips   *chips
	rules   *namespaces
	log     *log.Logger
	denials limiter
	usage   *ledger
	texts   texts
	clients sync.WaitGroup
	doors   doors
	vtpms   vtpms
	node    *node             // nil: none
	asking  *net.UnixListener // the control socket; nil: none

	passRights int // the option of sockets by which the kernel refuses descriptors

	mu          sync.Mutex
	connections map[*guest]bool
	closed      bool
	watched     time.Time      // when somebody last asked who uses the TPM
	count       map[uint32]int // of clients of each principal
}

func newServer(c *chips, rules *namespaces, l *log.Logger) *server {
	return &server{chips: c, rules: rules, log: l, usage: newLedger(), vtpms: vtpms{plug: plug, in: map[string]*vtpm{}}, connections: map[*guest]bool{},
		count: map[uint32]int{}, passRights: unix.SO_PASSRIGHTS}
}

// serve lets callers in until the context ends, then sends all of them away and waits until nothing of theirs is on a chip.
func (s *server) serve(stopped context.Context, l *net.UnixListener) error {
	stopAccepting := context.AfterFunc(stopped, func() { l.Close() })
	defer stopAccepting()
	if s.asking != nil {
		s.clients.Go(func() { s.accept(s.asking, s.answerControl) })
		defer s.asking.Close()
	}
	err := s.accept(l, s.converse)
	s.doors.closeAll()
	if stopped.Err() == nil {
		return err
	}
	if s.asking != nil {
		s.asking.Close()
	}
	s.chips.close() // first: whoever comes now gets no space
	s.closeAll()
	s.clients.Wait()
	return nil
}

// accept lets callers in by one way until that is closed.
func (s *server) accept(l *net.UnixListener, serve func(conn *net.UnixConn, entrance string)) error {
	s.refuseDescriptors(l)
	for {
		conn, err := l.AcceptUnix()
		switch {
		case err == nil:
			s.clients.Go(func() { serve(conn, l.Addr().String()) })
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
	s.closed = true
	for g := range s.connections {
		g.hangUp()
	}
}

// converse serves one connection to its end.
func (s *server) converse(conn *net.UnixConn, entrance string) {
	g := s.newGuest(conn)
	s.note(g)
	defer s.forget(g)
	who, err := callerAt(conn, entrance)
	if err != nil {
		s.log.Printf("a client without credentials: %v", err)
		return
	}
	if c, err := s.admitCaller(who); err == nil {
		s.attend(g, c)
	}
}

// attend serves a client on its connection to its end.
func (s *server) attend(conn net.Conn, c *client) {
	defer c.leave()
	if err := s.exchange(conn, c); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.log("closed %s: %v", c.caller, err)
	}
}

// note remembers a connection, so that it ends when we stop: at once, when we are about to.
func (s *server) note(g *guest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections[g] = true; s.closed {
		g.hangUp()
	}
}

// forget closes a connection.
func (s *server) forget(g *guest) {
	s.mu.Lock()
	delete(s.connections, g)
	s.mu.Unlock()
	g.Close()
}

// exchange answers one command after the other. A client that does not keep to the framing is sent away.
func (s *server) exchange(conn net.Conn, c *client) error {
	commands := reader{conn: conn}
	for {
		command, err := commands.command()
		if err != nil {
			return err
		}
		response, err := c.send(command)
		if err != nil {
			return err
		}
		if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := conn.Write(response); err != nil {
			return fmt.Errorf("a response was not taken: %w", err)
		}
		runtime.Gosched() // who has more commands ready than we answer would keep a processor for ten milliseconds, on each of his connections
	}
}
