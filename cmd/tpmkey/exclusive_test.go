package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
)

// exclusive is a TPM like /dev/tpm0, which opens once: who comes while somebody has it is counted.
func exclusive(t *testing.T, spec string) (string, *atomic.Int32) {
	t.Helper()
	path := filepath.Join(publicDir(t), "tpm")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var tooMany atomic.Int32
	go func() {
		var last *net.UnixConn
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if last != nil && isOpen(last) {
				tooMany.Add(1)
			}
			last = c.(*net.UnixConn)
			go relay(last, socketPath(spec))
		}
	}()
	return "unix:" + path, &tooMany
}

// isOpen tells whether the other end has not closed a connection, whoever has yet to read that.
func isOpen(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		open = n > 0 || err != nil
	})
	return err == nil && open
}

func relay(c net.Conn, path string) {
	defer c.Close()
	chip, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	go io.Copy(c, chip) // ends with chip
	io.Copy(chip, c)
	chip.Close()
}

// Whoever makes a key with a PIN on a TPM that opens once gives it back before he asks who counts wrong ones.
func TestExclusiveTPM(t *testing.T) {
	spec, tooMany := exclusive(t, tpmtest.Simulator(t))
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	for _, args := range [][]string{{"new", "-pin-file", pin, "web"}, {"attest", "-new", "ak", "-pin-file", pin}} {
		said, err := command(t, spec, store, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(said), "Nobody counts wrong PINs") {
			t.Errorf("%v: %v, %s", args, err, said)
		}
	}
	if n := tooMany.Load(); n > 0 {
		t.Errorf("the TPM was opened %d times while it was open", n)
	}
}
