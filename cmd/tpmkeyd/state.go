package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"tpmkey.example/rm"
)

// A state is the directory with what must outlive the service.
type state struct{ dir string }

// What is kept of chip 0 has the names that it had when there was one chip only.
func (s state) contextPath(chip int) string { return s.pathOf("context", ".key", chip) }
func (s state) memoryPath(chip int) string  { return s.pathOf("memory", ".json", chip) }

func (s state) pathOf(name, suffix string, chip int) string {
	if chip > 0 {
		name += fmt.Sprintf("-%d", chip)
	}
	return filepath.Join(s.dir, name+suffix)
}

// complete adds to a chip's configuration what is kept of it.
func (s state) complete(l *log.Logger) func(int, rm.Config) (rm.Config, error) {
	return func(chip int, config rm.Config) (rm.Config, error) {
		var err error
		config.ContextKey = func() ([32]byte, error) { return s.contextKey(chip) }
		config.Remember = s.remember(l, chip)
		config.Memory, err = s.memory(chip)
		return s.sweepFirst(chip, config, l), err
	}
}

// contextKey reads the key under which clients' contexts are saved, and makes one where there is none: files of saved contexts stay good when the service
// or the machine starts again.
func (s state) contextKey(chip int) (key [32]byte, err error) {
	text, err := os.ReadFile(s.contextPath(chip))
	if errors.Is(err, os.ErrNotExist) {
		rand.Read(key[:])
		return key, s.write(s.contextPath(chip), key[:])
	}
	if err == nil && len(text) != len(key) {
		err = fmt.Errorf("%s has %d bytes, not %d; delete it, and contexts that were saved before are void", s.contextPath(chip), len(text), len(key))
	}
	copy(key[:], text)
	return key, err
}

// memory reads what brakes and budgets knew when the service ended. Without a file they know nothing.
func (s state) memory(chip int) (m rm.Memory, err error) {
	text, err := os.ReadFile(s.memoryPath(chip))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return m, nil
	case errors.Is(err, os.ErrPermission):
		return m, fmt.Errorf("%w; run tpmkeyd as root, or name another directory with -state", err)
	case err != nil:
		return m, fmt.Errorf("%w; name another directory with -state", err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("what is known of failed authorizations: %s: %w; delete the file to forget it", s.memoryPath(chip), err)
	}
	return m, nil
}

// remember keeps what brakes and budgets know, at once: the service may be killed.
func (s state) remember(l *log.Logger, chip int) func(rm.Memory) {
	return func(m rm.Memory) {
		text, err := json.Marshal(m)
		if err == nil {
			err = s.write(s.memoryPath(chip), text)
		}
		if err != nil {
			l.Printf("a failed authorization is forgotten when the service ends: %v", err)
		}
	}
}

// write writes a file under another name first, so that it is all there or not at all.
func (s state) write(path string, data []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
