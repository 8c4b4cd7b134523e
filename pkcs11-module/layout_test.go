package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// The structures of v3.0, which the header that the module is built with does not have, are laid out as another header has them.
func TestLayout(t *testing.T) {
	if _, err := os.Stat("/usr/include/nss/pkcs11.h"); err != nil {
		tpmtest.Missing(t, err.Error())
	}
	program := filepath.Join(t.TempDir(), "layout")
	output, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-I/usr/include/nspr", "-I/usr/include/nss", "-I/usr/include", "-o", program, "testdata/layout.c", "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if output, err := exec.Command(program, module(t)).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("%v\n%s", err, output)
	}
}
