package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// echo is a chip that answers each command with itself and notices two at once.
type echo struct {
	running  atomic.Int32
	overlaps atomic.Int32
	commands atomic.Int32
	closed   atomic.Int32
}

func (e *echo) Send(command []byte) ([]byte, error) {
	if e.running.Add(1) > 1 {
		e.overlaps.Add(1)
	}
	time.Sleep(100 * time.Microsecond)
	e.running.Add(-1)
	e.commands.Add(1)
	return command, nil
}

func (e *echo) Close() error {
	e.closed.Add(1)
	return nil
}

// startServer serves an echo chip until the test ends.
func startServer(t *testing.T) (path string, tpm *echo) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	path, tpm = filepath.Join(dir, "sim.sock"), new(echo)
	s, err := newServer(path, tpm)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := tpm.closed.Load(); n != 1 {
			t.Errorf("chip closed %d times", n)
		}
		if err := os.Remove(dir); err != nil {
			t.Errorf("the server left something behind: %v", err)
		}
	})
	return path, tpm
}

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// frame returns a command whose size field says size and that has length bytes.
func frame(size uint32, length int) []byte {
	command := bytes.Repeat([]byte{0x5a}, length)
	binary.BigEndian.PutUint32(command[2:], size)
	return command
}

func TestOneCommandAtATime(t *testing.T) {
	path, tpm := startServer(t)
	var group sync.WaitGroup
	for range 8 {
		conn := dial(t, path)
		group.Go(func() {
			for range 20 {
				conn.Write(frame(32, 32))
				if _, err := io.ReadFull(conn, make([]byte, 32)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if tpm.overlaps.Load() != 0 || tpm.commands.Load() != 160 {
		t.Errorf("%d commands, %d of them beside another", tpm.commands.Load(), tpm.overlaps.Load())
	}
}

func TestSocketIsPrivate(t *testing.T) {
	path, _ := startServer(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestBounds(t *testing.T) {
	for _, row := range []struct {
		name     string
		sent     []byte
		answered bool
	}{
		{"smallest", frame(minCommand, minCommand), true},
		{"largest", frame(maxCommand, maxCommand), true},
		{"size 0", frame(0, minCommand), false},
		{"size 9", frame(9, minCommand), false},
		{"size 4097", frame(maxCommand+1, minCommand), false},
		{"size 4 GiB", frame(0xffffffff, minCommand), false},
		{"half a command", frame(100, 50), false},
		{"half a header", frame(10, 10)[:7], false},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, tpm := startServer(t)
			conn := dial(t, path)
			conn.Write(row.sent)
			conn.(*net.UnixConn).CloseWrite()
			// A reset is as good as an end here: the server may leave bytes unread.
			got, _ := io.ReadAll(conn)
			if want := row.sent; row.answered != bytes.Equal(got, want) {
				t.Errorf("answered with %d bytes", len(got))
			}
			if row.answered != (tpm.commands.Load() == 1) {
				t.Errorf("%d commands reached the chip", tpm.commands.Load())
			}
		})
	}
}

func TestPathInUse(t *testing.T) {
	path, _ := startServer(t)
	tpm := new(echo)
	_, err := newServer(path, tpm)
	if err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("second server on one path: %v", err)
	}
	if tpm.closed.Load() != 1 {
		t.Error("the chip stays open")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the first server lost its socket: %v", err)
	}
}
