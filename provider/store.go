package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A store is a list of directories with key files.
type store struct {
	dirs []string

	mu     sync.Mutex
	known  map[string]scanned // by path
	listed []listing          // of dirs, as Keys found them
	work   Work
}

func newStore(dirs []string) store {
	return store{dirs: dirs, known: map[string]scanned{}, listed: make([]listing, len(dirs))}
}

// scanned is what a file held when it was read, and what would show that it has changed.
type scanned struct {
	stamp stamp
	key   *Key
	err   error
}

type stamp struct {
	device, inode uint64
	size          int64
	changed       unix.Timespec // ctime: permissions count too
}

func stampOf(st *unix.Stat_t) stamp { return stamp{st.Dev, st.Ino, st.Size, st.Ctim} }

const suffix = ".pem"

func (s *store) keyPath(dir, name string) string { return filepath.Join(dir, name+suffix) }

// sibling is a file that belongs to a key file.
func sibling(path, otherSuffix string) string { return strings.TrimSuffix(path, suffix) + otherSuffix }

// Keys gives all keys that sign or decrypt, directory by directory, by name. The error joins a *FileError for each file that was refused; the keys are
// good even then. A key hides those of the same name in later directories.
func (p *Provider) Keys() ([]*Key, error) {
	keys, err := p.AllKeys()
	return slices.DeleteFunc(keys, (*Key).Attests), err
}

// AllKeys gives what Keys does, and the keys that attest these.
func (p *Provider) AllKeys() ([]*Key, error) {
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []*Key
	var refused []error
	seen := map[string]bool{}
	for i, dir := range s.dirs {
		names, err := s.list(i)
		if err != nil {
			refused = append(refused, err)
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			if k, err := s.read(p, dir, name); err != nil {
				refused = append(refused, err)
			} else {
				keys = append(keys, k)
			}
		}
	}
	return keys, errors.Join(refused...)
}

// Key gives the key of a name, from the first directory that has one.
func (p *Provider) Key(name string) (*Key, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range s.dirs {
		k, err := s.read(p, dir, name)
		if !errors.Is(err, os.ErrNotExist) || isLink(s.keyPath(dir, name)) {
			return k, err
		}
	}
	if short, isFile := strings.CutSuffix(name, suffix); isFile && CheckName(short) == nil {
		return nil, fmt.Errorf("%w: %q is not in %s; a key's name is that of its file without %s: %s", ErrNotFound, name, strings.Join(s.dirs, " or "), suffix, short)
	}
	return nil, fmt.Errorf("%w: %q is not in %s; tpmkey list shows those that are, and tpmkey new makes one", ErrNotFound, name, strings.Join(s.dirs, " or "))
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == os.ModeSymlink
}

// linkError says of a file that is there, and yet is not, why.
func linkError(path string, err error) error {
	to, linked := os.Readlink(path)
	if linked != nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return fmt.Errorf("it is a link to %s: %w", to, err)
}

// read gives a key from its file, or as it was read before if the file is the same. The caller holds mu.
func (s *store) read(p *Provider, dir, name string) (*Key, error) {
	path := s.keyPath(dir, name)
	if known, ok := s.known[path]; ok && s.isStill(path, known.stamp) {
		return known.key, known.err
	}
	s.work.Reads++
	key, stamp, err := readKey(p, name, path)
	if errors.Is(err, os.ErrNotExist) {
		delete(s.known, path)
		return nil, &FileError{path, linkError(path, err)}
	}
	if err != nil {
		err = &FileError{path, err}
	}
	s.known[path] = scanned{stamp, key, err}
	return key, err
}

// isStill tells whether the file at a path is the one that a stamp is of.
func (s *store) isStill(path string, was stamp) bool {
	var st unix.Stat_t
	s.work.Looks++
	return unix.Stat(path, &st) == nil && stampOf(&st) == was
}

func readKey(p *Provider, name, path string) (*Key, stamp, error) {
	var of stamp // zero where nothing was read, and then it is tried again
	text, err := readRegular(path, func(st *unix.Stat_t, path string) error {
		of = stampOf(st)
		return checkPrivate(st, path)
	})
	if err != nil {
		return nil, of, err
	}
	file, err := parseKeyFile(text)
	if err != nil {
		return nil, of, err
	}
	k, err := newKey(p, name, path, file)
	return k, of, err
}
