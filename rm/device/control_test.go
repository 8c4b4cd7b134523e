package device

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// serveControl answers one request of a control channel, and gives what it was.
func serveControl(t *testing.T, answer []byte) (port string, request <-chan []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		command := make([]byte, 5)
		io.ReadFull(conn, command)
		conn.Write(answer)
		got <- command
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, got
}

func TestSetLocality(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer []byte
		want   string // of the error
	}{
		{"done", []byte{0, 0, 0, 0}, ""},
		{"refused", []byte{0, 0, 0, 0x3d}, "the emulator refuses, result 0x3d"},
		{"half an answer", []byte{0, 0}, "EOF"},
	} {
		port, request := serveControl(t, row.answer)
		spec := Spec{text: "tcp:127.0.0.1:1,ctrl=" + port, kind: tcpSocket, address: "127.0.0.1:1", Control: port}
		err := (&controlled{spec: spec}).SetLocality(3)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if got := <-request; !bytes.Equal(got, []byte{0, 0, 0, 5, 3}) {
			t.Errorf("%s: the channel got %x", row.name, got)
		}
	}
	spec := Spec{text: "unix:/x,ctrl=/y", kind: unixSocket, Control: filepath.Join(t.TempDir(), "none")}
	if err := (&controlled{spec: spec}).SetLocality(3); err == nil || !strings.Contains(err.Error(), "set locality 3 of unix:/x,ctrl=/y: ") {
		t.Errorf("without a channel: %v", err)
	}
}
