package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// contextKey reads the key under which clients' contexts are saved, and makes one where there is none: files of saved contexts stay good when the service
// or the machine starts again.
func contextKey(dir string) (key [32]byte, err error) {
	path := filepath.Join(dir, "context.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return newContextKey(dir, path)
	}
	if err == nil && len(text) != len(key) {
		err = fmt.Errorf("%s has %d bytes, not %d; delete it, and contexts that were saved before are void", path, len(text), len(key))
	}
	copy(key[:], text)
	return key, err
}

// newContextKey writes the key under another name first, so that it is all there or not at all.
func newContextKey(dir, path string) (key [32]byte, err error) {
	rand.Read(key[:])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return key, err
	}
	f, err := os.CreateTemp(dir, ".context-*")
	if err != nil {
		return key, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key[:])
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return key, err
	}
	return key, os.Rename(f.Name(), path)
}
