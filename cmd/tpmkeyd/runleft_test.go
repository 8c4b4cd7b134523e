package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
)

// What root has open, and the keys of root's session, are not for the program that tpmkey run starts as another user.
func TestRunLeavesRootsBehind(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	runtime.LockOSThread() // whose session keyring the child gets; the thread ends with the test
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("roots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := "tpmkeyd-test\n"
	_, err1 := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	_, err2 := unix.AddKey("user", "tpmkeyd-test", []byte("roots"), unix.KEY_SPEC_SESSION_KEYRING)
	if err := errors.Join(err1, err2); errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		key = "" // in a container that lets nobody have any
	} else if err != nil {
		t.Fatal(err)
	}
	s := serveWith(t, "")
	tool := buildTool(t, s.dir)
	const look = "cat <&4; grep -o -m1 tpmkeyd-test /proc/keys; true"
	for _, row := range []struct{ user, want string }{
		{"nobody", ""},
		{"root", "roots\n" + key},
	} {
		file, err := os.Open(secret)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		c := exec.Command(tool, "run", "-control", s.socket("control.sock"), "-user", row.user, "--", "sh", "-c", look)
		c.Dir, c.ExtraFiles = s.dir, []*os.File{file, file}
		if said, err := c.Output(); err != nil || string(said) != row.want {
			t.Errorf("%s sees %q, %v; want %q", row.user, said, err, row.want)
		}
	}
}
