package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestContextKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := contextKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := contextKey(dir)
	if err != nil || again != first || first == [32]byte{} {
		t.Errorf("%x, then %x, %v", first, again, err)
	}
	path := filepath.Join(dir, "context.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := contextKey(dir); err == nil {
		t.Error("half a key was taken")
	}
	if _, err := contextKey("/dev/null/state"); err == nil {
		t.Error("a key without a place to keep it")
	}
}
