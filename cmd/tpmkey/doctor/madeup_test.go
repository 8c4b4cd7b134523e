package doctor

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Of a machine that is made up.
const (
	home       = "/users/me"
	keyDir     = "/users/me/keys"
	moduleHere = "/usr/lib/x86_64-linux-gnu/pkcs11/tpmkey-pkcs11.so"
	me         = 1000
)

var today = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// A world is what a machine has besides the usual: files with a text (directories end with a slash, links begin with "-> "), variables, programs by their
// command line, and nodes of other users.
type world struct {
	files map[string]string
	env   map[string]string
	runs  map[string]string
	nodes map[string]*Node
	open  []string // nodes that may be opened
	with  func(*Machine)
}

// accounts are everybody's.
var accounts = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\ntss:x:103:104::/:/bin/false\nme:x:1000:1000::/users/me:/bin/sh\nyou:x:1001:1001::/:/bin/sh\n",
	"/etc/group":  "root:x:0:\ntss:x:104:\nme:x:1000:\nyou:x:1001:\ntpm:x:200:you,me\n",
}

// machine makes a machine of a world.
func (w world) machine(t *testing.T) *Machine {
	t.Helper()
	root := t.TempDir()
	for _, files := range []map[string]string{accounts, w.files} {
		for path, text := range files {
			put(t, filepath.Join(root, path), path, text)
		}
	}
	age(t, root)
	m := &Machine{
		Root: root, Home: home, UID: me, Groups: []uint32{me}, Dirs: []string{keyDir}, Module: moduleHere, Now: today,
		Getenv: func(name string) string { return w.env[name] },
		Asks:   func() []string { return []string{"terminal"} },
		Synced: func() (bool, error) { return true, nil },
		Locker: func() (int, error) { return 3, nil },
	}
	m.Run = func(name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		if said, ok := w.runs[line]; ok {
			return said, nil
		}
		return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
	}
	m.Stat = func(path string) (*Node, error) {
		if node, ok := w.nodes[path]; ok {
			return node, nil
		}
		node, err := statNode(m.path(path))
		if err == nil {
			node.UID, node.GID = me, me
		}
		return node, err
	}
	m.Access = func(path string) error {
		if slices.Contains(w.open, path) {
			return nil
		}
		return fs.ErrPermission
	}
	m.Serves = func(string) error { return nil }
	if w.with != nil {
		w.with(m)
	}
	return m
}

func put(t *testing.T, at, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if to, isLink := strings.CutPrefix(text, "-> "); isLink {
		err = os.Symlink(to, at)
	} else if strings.HasSuffix(path, "/") {
		err = os.MkdirAll(at, 0o700)
	} else {
		err = os.WriteFile(at, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// age makes everything an hour old.
func age(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type() == fs.ModeSymlink {
			return err
		}
		return os.Chtimes(path, today, today.Add(-time.Hour))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkNamed gives a row of the table.
func checkNamed(t *testing.T, name string) check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	return checks[i]
}
