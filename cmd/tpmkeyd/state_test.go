package main

import (
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tpmkey.example/rm"
)

func TestContextKey(t *testing.T) {
	s := state{filepath.Join(t.TempDir(), "state")}
	first, err := s.contextKey(0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.contextKey(0)
	if err != nil || again != first || first == [32]byte{} {
		t.Errorf("%x, then %x, %v", first, again, err)
	}
	if info, err := os.Stat(s.contextPath(0)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := os.WriteFile(s.contextPath(0), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.contextKey(0); err == nil {
		t.Error("half a key was taken")
	}
	if _, err := (state{"/dev/null/state"}).contextKey(0); err == nil {
		t.Error("a key without a place to keep it")
	}
}

func TestMemory(t *testing.T) {
	s, journal := state{filepath.Join(t.TempDir(), "state")}, &journal{}
	remember := s.remember(log.New(journal, "", 0), 0)
	if m, err := s.memory(0); err != nil || !reflect.DeepEqual(m, rm.Memory{}) {
		t.Errorf("without a file: %+v, %v", m, err)
	}
	now := time.Now().UTC().Round(0)
	want := rm.Memory{Principals: map[uint32]*rm.Brake{1000: {Failures: 2.5, Last: now}}, Keys: map[string]*rm.Brake{"ab": {Failures: 1, Last: now}},
		Hierarchies: map[uint32]*rm.Brake{}, Everybody: rm.Brake{Failures: 3, Last: now}, Lockout: map[uint32]time.Time{7: now}}
	remember(want)
	if m, err := s.memory(0); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%+v, %v, want %+v", m, err, want)
	}
	if info, err := os.Stat(s.memoryPath(0)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(s.memoryPath(0), []byte(`{"Principals":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.memory(0); err == nil || !strings.Contains(err.Error(), "delete the file to forget it") {
		t.Errorf("half a memory: %v", err)
	}
	if _, err := (state{"/dev/null/state"}).memory(0); err == nil || err.Error() != "open /dev/null/state/memory.json: not a directory; name another directory with -state" {
		t.Errorf("a memory in no directory: %v", err)
	}
	(state{"/dev/null/state"}).remember(log.New(journal, "", 0), 0)(want)
	if !strings.Contains(journal.String(), "is forgotten when the service ends") {
		t.Errorf("the log says %q", journal)
	}
}
