package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReachable(t *testing.T) {
	root, err := os.MkdirTemp("", "tpmkey-demo")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	below := filepath.Join(root, "open")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if reachable(below) {
		t.Error("reachable below a folder of mode 0700")
	}
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	if !reachable(below) {
		t.Error("not reachable below a folder of mode 0711")
	}
}

// Where the user cannot reach the checkout, the programs are copied, and still
// shown as in the checkout.
func TestClosedBuildIsCopied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root plays with another user; nothing to copy")
		return
	}
	build := t.TempDir()
	for _, program := range append(programs, "tpmkeyd", "tpmkey-sim") {
		file := filepath.Join(build, program)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\necho "+program+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(build, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := newStage(t.Context(), build, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	output, err := s.quietly(s.user.credential, s.program("tpmkey"))
	if err != nil || output != "tpmkey\n" {
		t.Errorf("output %q, error %v", output, err)
	}
	if got, want := s.typed(s.program("demo/demo")), build+"/demo/demo"; got != want {
		t.Errorf("shown as %s, not %s", got, want)
	}
}
