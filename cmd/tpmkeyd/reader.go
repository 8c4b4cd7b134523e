package main

import (
	"fmt"
	"io"
	"net"
	"time"

	"tpmkey.example/rm/wire"
)

// A reader takes whole commands from a connection, with a single read where the client has written them with one: calls of the kernel are most of what a
// command costs here.
type reader struct {
	conn    net.Conn
	buffer  [1024]byte // an idle client's too; a TPM2_Load of RSA 3072 fits
	have    int        // bytes of buffer that came and were not given out
	limited bool       // the rest of a command has a deadline
}

// command reads one whole command. Its memory is asked for when its size is known, and that is bounded.
func (r *reader) command() ([]byte, error) {
	if err := r.beIdle(); err != nil {
		return nil, err
	}
	for r.have < wire.HeaderSize {
		if err := r.more(); err != nil {
			return nil, err
		}
	}
	h, _ := wire.ParseHeader(r.buffer[:r.have])
	if h.Size < wire.HeaderSize || h.Size > wire.MaxCommand {
		return nil, fmt.Errorf("a command that says it has %d bytes", h.Size)
	}
	command := make([]byte, h.Size)
	n := copy(command, r.buffer[:r.have])
	r.have = copy(r.buffer[:], r.buffer[n:r.have])
	return command, r.rest(command[n:])
}

// beIdle lets the next command begin whenever the client likes.
func (r *reader) beIdle() error {
	if !r.limited {
		return nil
	}
	r.limited = false
	return r.conn.SetReadDeadline(time.Time{})
}

// hurry gives the rest of a command a deadline, counted from when it was first seen to be missing.
func (r *reader) hurry() error {
	if r.limited {
		return nil
	}
	r.limited = true
	return r.conn.SetReadDeadline(time.Now().Add(patience))
}

// more reads what has come.
func (r *reader) more() error {
	if r.have == 0 {
		n, err := r.conn.Read(r.buffer[:])
		r.have = n
		return err
	}
	if err := r.hurry(); err != nil {
		return err
	}
	n, err := r.conn.Read(r.buffer[r.have:])
	r.have += n
	return half(err)
}

// rest reads the end of a command.
func (r *reader) rest(missing []byte) error {
	if len(missing) == 0 {
		return nil
	}
	if err := r.hurry(); err != nil {
		return err
	}
	_, err := io.ReadFull(r.conn, missing)
	return half(err)
}

// half is what an error means within a command: there, the end of the connection is not the client's good right.
func half(err error) error {
	switch err {
	case nil:
		return nil
	case io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("half a command: %w", err)
}
