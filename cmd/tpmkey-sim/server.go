package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of one command in bytes: a header alone, and the simulator's buffer
// (MAX_COMMAND_SIZE). Part 1, 18.1: tag (2), size (4), code (4).
const (
	minCommand = 10
	maxCommand = 4096
)

// chip is a TPM that runs one command at a time.
type chip interface {
	Send(command []byte) ([]byte, error)
	Close() error
}

// server offers one chip to any number of connections. Close ends it at any
// time, once or several times; it waits for the command that runs.
type server struct {
	listener net.Listener

	mu     sync.Mutex // held while the chip runs a command
	tpm    chip
	closed bool // the chip was closed; no command may reach it any more
}

// newServer listens on path with mode 0600 and takes the chip over, also when
// it fails.
func newServer(path string, tpm chip) (*server, error) {
	// The mode must be right from the first moment on, hence the umask.
	old := unix.Umask(0o177)
	listener, err := net.Listen("unix", path)
	unix.Umask(old)
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("%w: remove the file %s if no simulator uses it", err, path)
	}
	if err != nil {
		return nil, errors.Join(err, tpm.Close())
	}
	return &server{listener: listener, tpm: tpm}, nil
}

// serve runs until Close. It returns nil then, and else why it could not go on.
func (s *server) serve() error {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return s.Close()
		}
		if err != nil {
			return errors.Join(err, s.Close())
		}
		go s.converse(conn)
	}
}

// converse serves one connection until it ends or breaks the framing, after
// which the start of the next command could only be guessed.
func (s *server) converse(conn net.Conn) {
	defer conn.Close()
	for {
		command, err := readCommand(conn)
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			err = s.answer(conn, command)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tpmkey-sim: connection closed:", err)
			return
		}
	}
}

func (s *server) answer(conn net.Conn, command []byte) error {
	response, err := s.send(command)
	if err != nil {
		return err
	}
	_, err = conn.Write(response)
	return err
}

func (s *server) send(command []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	return s.tpm.Send(command)
}

// Close removes the socket and closes the chip.
func (s *server) Close() error {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.tpm.Close()
}

// readCommand reads one whole command. Its error is io.EOF only at the end of
// the stream between two commands.
func readCommand(r io.Reader) ([]byte, error) {
	command := make([]byte, minCommand)
	if _, err := io.ReadFull(r, command); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(command[2:])
	if size < minCommand || size > maxCommand {
		return nil, fmt.Errorf("read command: size field says %d bytes, not %d to %d", size, minCommand, maxCommand)
	}
	command = append(command, make([]byte, size-minCommand)...)
	if _, err := io.ReadFull(r, command[minCommand:]); err != nil {
		return nil, fmt.Errorf("read command of %d bytes: %w", size, io.ErrUnexpectedEOF)
	}
	return command, nil
}
