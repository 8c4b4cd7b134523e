package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A plaintext has no name before all of it is there, so that whoever is killed leaves nothing.
func TestNoNameBeforeTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "plain")
	err := writeAndRename(path, []byte("secret"), func(*os.File) error {
		entries, err := os.ReadDir(dir)
		if len(entries) > 0 {
			t.Errorf("%s is there already", entries[0].Name())
		}
		return err
	})
	if text, readErr := os.ReadFile(path); err != nil || string(text) != "secret" {
		t.Errorf("%q, %v, %v", text, readErr, err)
	}
}
