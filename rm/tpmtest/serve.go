package tpmtest

import (
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// relay offers a Sender on a socket. It ends when its listener is closed; then
// wait until its connections have ended too.
type relay struct {
	below    Sender
	turn     sync.Mutex // held while a command runs: a chip runs one at a time
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// Serve offers a Sender to any number of connections, one command at a time, so
// that other programs reach a chip through a Recorder or a fake. It returns the
// spec and ends with the test. An error of the Sender ends the connection.
func Serve(t testing.TB, below Sender) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "serve.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &relay{below: below, listener: listener}
	s.group.Go(s.accept)
	t.Cleanup(s.close)
	return "unix:" + path
}

func (s *relay) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, conn)
		s.mu.Unlock()
		s.group.Go(func() { s.converse(conn) })
	}
}

func (s *relay) converse(conn net.Conn) {
	defer conn.Close()
	for {
		command, err := readMessage(conn)
		if err != nil {
			return
		}
		response, err := s.send(command)
		if err != nil {
			return
		}
		if _, err := conn.Write(response); err != nil {
			return
		}
	}
}

func (s *relay) send(command []byte) ([]byte, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.below.Send(command)
}

// close ends all connections and waits for them.
func (s *relay) close() {
	s.listener.Close()
	s.mu.Lock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.group.Wait()
}
