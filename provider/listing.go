package provider

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A listing is what a directory held: the names of key files, and which of them have a certificate beside them.
type listing struct {
	stamp        directoryStamp
	certificates map[string]bool // by name
}

// A directoryStamp shows whether files came, went or were replaced. Files that are written to where they are do not show in it.
type directoryStamp struct {
	device, inode uint64
	modified      unix.Timespec
	settled       bool // the clock of files has gone on since, so that a later change shows
}

// settling is more than the clock of any file system that we know of needs to go on.
const settling = time.Second

func stampDirectory(dir string) directoryStamp {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return directoryStamp{settled: true} // there is none
	}
	return directoryStamp{st.Dev, st.Ino, st.Mtim, time.Since(time.Unix(st.Mtim.Unix())) > settling}
}

// list reads a directory: its key files' names. One that is not there has none. The caller holds mu.
func (s *store) list(i int) ([]string, error) {
	stamp := stampDirectory(s.dirs[i]) // before what it stands for
	s.work.Looks++
	s.listed[i] = listing{certificates: map[string]bool{}}
	entries, err := os.ReadDir(s.dirs[i])
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the key directory: %w", err)
	}
	s.listed[i].stamp = stamp
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), suffix); ok && CheckName(name) == nil {
			names = append(names, name)
		} else if name, ok := strings.CutSuffix(entry.Name(), certificateSuffix); ok {
			s.listed[i].certificates[name] = true
		}
	}
	return names, nil
}

// Unchanged tells cheaply whether Keys would find the same files as the last time. Those that were written to since, where they are, only Fresh finds.
func (p *Provider) Unchanged() bool {
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, dir := range s.dirs {
		s.work.Looks++
		was := s.listed[i].stamp
		if !was.settled || stampDirectory(dir) != was {
			return false
		}
	}
	return true
}

// Fresh tells whether a key's file is as it was when Keys gave the key.
func (p *Provider) Fresh(k *Key) bool {
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known[k.path]
	return known.key == k && s.isStill(k.path, known.stamp)
}

// HasCertificate tells whether Keys saw a file with a certificate beside the key's.
func (p *Provider) HasCertificate(k *Key) bool {
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, dir := range s.dirs {
		if s.keyPath(dir, k.name) == k.path {
			return s.listed[i].certificates[k.name]
		}
	}
	return false
}

// Work is what a provider has done in its directories, for those who count that instead of time.
type Work struct {
	Reads int // of key files
	Looks int // at files and directories (stat)
}

// Work tells what was done so far.
func (p *Provider) Work() Work {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	return p.store.work
}
