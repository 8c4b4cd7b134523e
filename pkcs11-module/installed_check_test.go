//go:build check

package main

import (
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// As packages install them, the helper is not beside the module but where the Makefile said when the module was built.
func TestInstalledHelper(t *testing.T) {
	tpmtest.Need(t, "make", "gcc")
	dir, libexec := t.TempDir(), filepath.Join(t.TempDir(), "libexec")
	for target, in := range map[string]string{"tpmkey-pkcs11.so": dir, "tpmkey-pkcs11-helper": libexec} {
		if err := makeFiles("BUILD="+in, "libexecdir="+libexec, filepath.Join(in, target)); err != nil {
			t.Fatal(err)
		}
	}
	newShared(t).runHostOf(t, filepath.Join(dir, "tpmkey-pkcs11.so"), "forks", "descendants", 1)
}
