//go:build check

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// A builtModule is the PKCS #11 module as users get it, and a host of it.
type builtModule struct{ module, host string }

func buildModule(t *testing.T) builtModule {
	t.Helper()
	tpmtest.Need(t, "make", "gcc")
	dir := t.TempDir()
	b := builtModule{filepath.Join(dir, "tpmkey-pkcs11.so"), filepath.Join(dir, "signs")}
	for _, c := range []*exec.Cmd{
		exec.Command("make", "-s", "-C", "../..", "BUILD="+dir, "libexecdir=/nowhere", b.module, filepath.Join(dir, "tpmkey-pkcs11-helper")),
		exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-I/usr/include/p11-kit-1", "-I../../pkcs11-module/testdata", "-o", b.host, "testdata/signs.c", "-ldl"),
	} {
		if output, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	return b
}

// A moduleHost is a process that signs with the module.
type moduleHost struct {
	*exec.Cmd
	in    io.WriteCloser
	out   io.Reader
	wrote *journal
}

func (b builtModule) start(t *testing.T, mode, pin string, environment ...string) *moduleHost {
	t.Helper()
	h := &moduleHost{Cmd: exec.Command(b.host, b.module, mode), wrote: &journal{}}
	if pin != "" {
		h.Args = append(h.Args, pin)
	}
	h.Env, h.Stderr = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, environment...), h.wrote
	var err error
	if h.in, err = h.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if h.out, err = h.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.in.Close(); h.Process.Kill(); h.Wait() })
	return h
}

// sign has eight bytes signed.
func (h *moduleHost) sign(data []byte) ([]byte, error) {
	if _, err := h.in.Write(data); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, h.wrote)
	}
	signature := make([]byte, 256)
	if _, err := io.ReadFull(h.out, signature); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, h.wrote)
	}
	return signature, nil
}

// end ends the host, which gives back what it has.
func (h *moduleHost) end() error {
	h.in.Close()
	if err := h.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, h.wrote)
	}
	return nil
}
