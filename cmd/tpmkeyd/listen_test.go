package main

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Anybody can open the socket's directory, and lock it; the server starts all the same.
func TestListenInALockedDirectory(t *testing.T) {
	path := filepath.Join(shortDir(t), "tpms.sock")
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	listening := make(chan error, 1)
	go func() {
		l, err := listen(path)
		if err == nil {
			l.Close()
		}
		listening <- err
	}()
	select {
	case err := <-listening:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the server waits for the directory's lock")
	}
}

// Of servers that start at once over a dead server's socket one gets it, and nothing else is left.
func TestServersThatStartAtOnce(t *testing.T) {
	path := filepath.Join(shortDir(t), "tpms.sock")
	leaveStale(t, path)
	var mu sync.Mutex
	var listening []*net.UnixListener
	var starts sync.WaitGroup
	for range 8 {
		starts.Go(func() {
			if l, err := listen(path); err == nil {
				mu.Lock()
				defer mu.Unlock()
				listening = append(listening, l)
			}
		})
	}
	starts.Wait()
	if len(listening) != 1 {
		t.Errorf("%d servers have the socket", len(listening))
	}
	for _, l := range listening {
		l.Close()
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpmkeyd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// leaveStale leaves a socket that nobody serves.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}
