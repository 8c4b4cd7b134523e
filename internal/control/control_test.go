package control

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzRead: whatever comes, a message is read or refused, and what was read is written and read as the same.
func FuzzRead(f *testing.F) {
	for _, text := range []string{`{}`, `{"filter":"use","chip":1,"locality":2,"uid":1000,"seal":true}`, `{"uid":-1}`, `[]`, ``} {
		f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, '{'})
	f.Fuzz(func(t *testing.T, message []byte) {
		var q Request
		if Read(bytes.NewReader(message), &q) != nil {
			return
		}
		if n := binary.BigEndian.Uint32(message); int(n)+4 > len(message) {
			t.Errorf("%d bytes of %d were taken for a message", len(message), n)
		}
	})
}

// ends are the two of a connection.
func ends(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, end := range []**net.UnixConn{&a, &b} {
		file := os.NewFile(uintptr(fds[i]), "end")
		conn, err := net.FileConn(file)
		if file.Close(); err != nil {
			t.Fatal(err)
		}
		*end = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	return a, b
}

// An answer brings a descriptor only when it is one: what comes beside an error is closed.
func TestReadAnswer(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer any
		fd     bool
		file   bool
		fails  bool
	}{
		{"a descriptor", Answer{Filter: "use"}, true, true, false},
		{"none", Answer{Filter: "use"}, false, false, false},
		{"an error", Answer{Error: "no"}, false, false, true},
		{"an error and a descriptor", Answer{Error: "no"}, true, false, true},
		{"something else and a descriptor", []int{1}, true, false, true},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := ends(t)
		fd := -1
		if row.fd {
			fd = int(w.Fd())
		}
		if err := Write(ours, row.answer, fd); err != nil {
			t.Fatal(err)
		}
		w.Close()
		file, _, err := readAnswer(theirs)
		if (file != nil) != row.file || (err != nil) != row.fails {
			t.Errorf("%s: %v, %v", row.name, file, err)
		}
		if file != nil {
			file.Close()
		}
		if left, err := io.ReadAll(r); err != nil || len(left) > 0 { // it ends when nobody has the other end any more
			t.Errorf("%s: %q, %v", row.name, left, err)
		}
		r.Close()
	}
}
