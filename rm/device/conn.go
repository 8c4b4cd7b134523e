package device

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/wire"
)

// A conn is an open descriptor that takes whole commands and gives whole responses. The descriptor is a blocking one: with one that
// Go's poller watches, the kernel's TPM device was seen to give empty answers.
type conn struct {
	stream bool // a socket, on which a response may come in pieces; a device gives it whole
	broker bool // tpmkeyd's socket: it lets everybody connect, and ends the connections of those whom it refuses

	mu     sync.Mutex // one command at a time
	buffer [wire.MaxCommand]byte

	state  sync.Mutex // guards what follows; never held during a system call that can wait
	fd     int
	busy   bool
	closed bool
}

var (
	errClosed      = errors.New("the device is closed")
	errOtherClosed = errors.New("the other side closed")
)

func newConn(fd int, stream bool) *conn { return &conn{fd: fd, stream: stream} }

// Send writes one command and waits for its response.
func (c *conn) Send(command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begin() {
		return nil, errClosed
	}
	defer c.end()
	if err := c.write(command); err != nil {
		return nil, c.explain(err)
	}
	n, err := c.read()
	if err != nil {
		return nil, c.explain(err)
	}
	return bytes.Clone(c.buffer[:n]), nil
}

// explain says where the reason stands when tpmkeyd has ended the connection: TPM framing has no room for it.
func (c *conn) explain(err error) error {
	if c.broker && !c.isClosed() && (errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, errOtherClosed)) {
		return fmt.Errorf("%w; tpmkeyd refused this connection or has ended: its journal says why (journalctl -u tpmkeyd)", err)
	}
	return err
}

func (c *conn) isClosed() bool {
	c.state.Lock()
	defer c.state.Unlock()
	return c.closed
}

// Close ends the connection. A Send that waits on a socket returns at once; one that waits on a device cannot be woken, and closes the
// device when it comes back.
func (c *conn) Close() error {
	c.state.Lock()
	defer c.state.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if !c.busy {
		return unix.Close(c.fd)
	}
	if c.stream {
		return unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
	return nil
}

func (c *conn) begin() bool {
	c.state.Lock()
	defer c.state.Unlock()
	c.busy = !c.closed
	return c.busy
}

func (c *conn) end() {
	c.state.Lock()
	defer c.state.Unlock()
	if c.busy = false; c.closed {
		unix.Close(c.fd)
	}
}

func (c *conn) write(command []byte) error {
	for len(command) > 0 {
		n, err := c.writeSome(command)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("write: %w", err)
		case n < len(command) && !c.stream:
			return fmt.Errorf("write: %d of %d bytes", n, len(command))
		}
		command = command[n:]
	}
	return nil
}

// writeSome keeps a peer that has gone from killing the process with SIGPIPE.
func (c *conn) writeSome(b []byte) (int, error) {
	if c.stream {
		return unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
	}
	return unix.Write(c.fd, b)
}

// read waits for one response. Its size field says when a stream's is complete.
func (c *conn) read() (int, error) {
	for n := 0; ; {
		m, err := unix.Read(c.fd, c.buffer[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case m == 0 && !c.stream:
			return 0, errors.New("read: it gave no response; it is no TPM")
		case m == 0:
			return 0, fmt.Errorf("read: %w after %d bytes of a response", errOtherClosed, n)
		}
		n += m
		h, whole := wire.ParseHeader(c.buffer[:n])
		switch {
		case !c.stream:
			return n, nil
		case whole && (h.Size < wire.HeaderSize || h.Size > uint32(len(c.buffer))):
			return 0, fmt.Errorf("read: a response of %d bytes is no TPM's", h.Size)
		case whole && n >= int(h.Size):
			return n, nil
		}
	}
}
