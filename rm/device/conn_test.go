package device

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/wire"
)

// FuzzRead: a socket on which anything comes. What is taken for a response is as long as it says, and nothing but what came first.
func FuzzRead(f *testing.F) {
	random := []byte{0x80, 1, 0, 0, 0, 14, 0, 0, 0, 0, 0, 2, 0xAA, 0xBB}
	for _, stream := range [][]byte{random, append(random, 0), random[:12], {}, {0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0}, {0x80, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}} {
		f.Add(stream, uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(fds[0], true)
		defer c.Close()
		go dribble(fds[1], stream, int(piece)+1)
		response, err := c.Send([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 2})
		if err != nil {
			return
		}
		if h, ok := wire.ParseHeader(response); !ok || !bytes.HasPrefix(stream, response) || int(h.Size) > len(response) {
			t.Errorf("%x became %x", stream, response)
		}
	})
}

// dribble writes a stream in pieces, until it ends or nobody reads any more.
func dribble(fd int, stream []byte, piece int) {
	defer unix.Close(fd)
	for len(stream) > 0 {
		n := min(len(stream), piece)
		if _, err := unix.SendmsgN(fd, stream[:n], nil, nil, unix.MSG_NOSIGNAL); err != nil {
			return
		}
		stream = stream[n:]
	}
}

// Whom tpmkeyd refuses it can tell nothing in TPM framing, so the error says where the reason stands; of others' sockets it does not.
func TestRefused(t *testing.T) {
	for _, row := range []struct {
		broker, reads bool
		want          string
	}{
		{true, true, "read: the other side closed after 0 bytes of a response; tpmkeyd refused this connection or has ended: its journal says why"},
		{true, false, "write: broken pipe; tpmkeyd refused"},
		{false, true, "read: the other side closed after 0 bytes of a response"},
	} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(fds[0], true)
		c.broker = row.broker
		if row.reads {
			err = unix.Shutdown(fds[1], unix.SHUT_WR)
		} else {
			err = unix.Close(fds[1])
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Send([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 2})
		if err == nil || !strings.HasPrefix(err.Error(), row.want) || !row.broker && err.Error() != row.want {
			t.Errorf("%+v: %v", row, err)
		}
		c.Close()
		if row.reads {
			unix.Close(fds[1])
		}
	}
}
