package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A profile that may not be read makes one error, and so does one that is far too long: without reading it all.
func TestProfilesThatCannotBeRead(t *testing.T) {
	dir := publicDir(t)
	secret, huge := filepath.Join(dir, "secret"), filepath.Join(dir, "huge")
	for _, path := range []string{secret, huge} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<30); err != nil {
		t.Fatal(err)
	}
	expectFailure(t, asNobody(t, dir, command(t, "", t.TempDir(), "filter", "check", secret)), secret+": permission denied")
	c := command(t, "", t.TempDir(), "filter", "check", huge)
	expectFailure(t, c, huge+": it has more than 256 KiB")
	if kib := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; kib > 256<<10 {
		t.Errorf("%d KiB of memory for a file of 1 GiB", kib)
	}
}
