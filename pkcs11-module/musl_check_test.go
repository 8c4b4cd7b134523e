//go:build check

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// On musl the front has no Go beside it, and the helper answers from the first call on. The hosts are those of the other C library.
func TestMusl(t *testing.T) {
	tpmtest.Need(t, "make", "musl-gcc")
	build := t.TempDir()
	if err := makeFiles("BUILD="+build, "libexecdir="+build, "build-musl"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ host, mode string }{
		{"host", "null"}, {"host", "closed"}, {"host", "threads"}, {"host", "fork"}, {"disturb", "load"}, {"disturb", "signals"}, {"forks", "descendants"}, {"forks", "handler"}, {"forks", "interrupted"},
	} {
		t.Run(row.host+" "+row.mode, func(t *testing.T) {
			s := newShared(t)
			c := exec.Command(muslHost(t, build, row.host), filepath.Join(build, "musl", "tpmkey-pkcs11.so"), row.mode, "3")
			c.Env = append(s.environment(), "TPMKEY_LOG="+filepath.Join(s.home, "log"))
			if output, err := c.CombinedOutput(); err != nil {
				log, _ := os.ReadFile(filepath.Join(s.home, "log"))
				t.Errorf("%v\n%s%s", err, output, log)
			}
		})
	}
}

func muslHost(t *testing.T, dir, name string) string {
	t.Helper()
	program := filepath.Join(dir, "host-"+name)
	output, err := exec.Command("musl-gcc", "-Wall", "-Wextra", "-isystem", "/usr/include/p11-kit-1", "-o", program, "testdata/"+name+".c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}
