package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/wire"
)

// FuzzReader: whatever a client writes, in pieces of whatever size, commands come out as long as they say, one after another, until the framing breaks or the stream ends.
func FuzzReader(f *testing.F) {
	random := []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8}
	for _, stream := range [][]byte{random, append(random, random...), random[:11], {}, {0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0}, {0x80, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}} {
		f.Add(stream, uint16(0))
		f.Add(bytes.Repeat(stream, 200), uint16(1500))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint16) {
		ours, theirs := socketPair(t)
		defer ours.Close()
		go dribble(theirs, stream, int(piece)+1)
		r := reader{conn: ours}
		for rest := stream; ; {
			command, err := r.command()
			if err != nil {
				checkEnd(t, rest, err)
				return
			}
			if h, ok := wire.ParseHeader(command); !ok || int(h.Size) != len(command) || !bytes.HasPrefix(rest, command) {
				t.Fatalf("%x of %x", command, rest)
			}
			rest = rest[len(command):]
		}
	})
}

// socketPair is a connection, as both ends have it.
func socketPair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, end := range []*net.Conn{&ours, &theirs} {
		file := os.NewFile(uintptr(fds[i]), "socket")
		*end, err = net.FileConn(file)
		if file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return ours, theirs
}

// dribble writes a stream in pieces, until it ends or nobody reads any more.
func dribble(conn net.Conn, stream []byte, piece int) {
	defer conn.Close()
	for len(stream) > 0 {
		n := min(len(stream), piece)
		if _, err := conn.Write(stream[:n]); err != nil {
			return
		}
		stream = stream[n:]
	}
}

// checkEnd: the end of the stream between two commands is io.EOF, and nothing else is; no whole command is left unread.
func checkEnd(t *testing.T, rest []byte, err error) {
	t.Helper()
	if (err == io.EOF) != (len(rest) == 0) {
		t.Errorf("with %d bytes left: %v", len(rest), err)
	}
	h, ok := wire.ParseHeader(rest)
	if ok && h.Size >= wire.HeaderSize && h.Size <= wire.MaxCommand && int(h.Size) <= len(rest) {
		t.Errorf("a whole command is left of %x: %v", rest, err)
	}
}

// FuzzCaller: what the kernel and /etc say of a caller, with names in it that he has chosen: no text makes root of somebody, or gives him a cgroup that is not in it.
func FuzzCaller(f *testing.F) {
	f.Add("Name:\tx\\nUid:\t0\nTgid:\t12\nCapEff:\t000001ffffffffff\n")
	f.Add("12:cpuset:/a:b\n0::/user.slice/x\n")
	f.Add(lentUids)
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range cgroupPaths(text) {
			if !strings.Contains(text, ":"+path) || strings.Contains(path, "\n") {
				t.Errorf("cgroup %q", path)
			}
		}
		if value := status(text).field("CapEff"); value != "" && !strings.Contains("\n"+text, "\nCapEff:") {
			t.Errorf("capabilities %q", value)
		}
		for line := range strings.Lines(text) {
			if l, ok := parseLoan(line); ok && (l.principal == 0 || l.first == 0) {
				t.Errorf("%q is lent by root: %+v", line, l)
			}
		}
	})
}
