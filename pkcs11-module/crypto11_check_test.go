//go:build check

package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

const crypto11Uses = `found PKCS1v15
found PSS
found decrypt
found OAEP
found TLS
found random
made PKCS1v15
made PSS
made decrypt
made OAEP
made TLS
made random
`

// github.com/ThalesGroup/crypto11, which many Go programs reach a token with.
func TestCrypto11(t *testing.T) {
	module := module(t)
	program := filepath.Join(t.TempDir(), "crypto11")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "testdata/crypto11"
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	c := exec.Command(program, module)
	c.Env = newShared(t).environment()
	if output, err := c.CombinedOutput(); err != nil || string(output) != crypto11Uses {
		t.Errorf("%v\n%s", err, output)
	}
}
