package tpmtest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long one command may take: longer than any key generation on
// a busy machine, shorter than a test's own limit, so that a chip that another
// connection holds is reported and not waited for.
const patience = 60 * time.Second

// Conn is a raw connection to an emulator: no manager, no filter. It is safe for
// concurrent use and may be closed twice.
type Conn struct {
	mu   sync.Mutex // held while a command runs
	conn net.Conn
}

// Dial connects to a spec "unix:PATH" and closes the connection when the test
// ends.
func Dial(t testing.TB, spec string) *Conn {
	t.Helper()
	c, err := dial(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(spec string) (*Conn, error) {
	path, ok := strings.CutPrefix(spec, "unix:")
	if !ok {
		return nil, fmt.Errorf("dial %q: not a spec of the form unix:PATH", spec)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: conn}, nil
}

// Send sends the command as it is, well-formed or not, and reads one response.
func (c *Conn) Send(command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(command); err != nil {
		return nil, err
	}
	return readMessage(c.conn)
}

// Close ends the connection, also under a running Send.
func (c *Conn) Close() error { return c.conn.Close() }
