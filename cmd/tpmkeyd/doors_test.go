package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/namespace"
)

// A directory is made beside the socket for everybody only: elsewhere a slip of the pen would make one that nobody looks into.
func TestDirectoryOfADoor(t *testing.T) {
	root := shortDir(t)
	for _, dir := range []string{"run", "there"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ path, fails string }{
		{"run/tpmkey/web.sock", ""},
		{"run/tpmkey/web/tpms.sock", ""},
		{"there/web.sock", ""},
		{"run/tpmky/web.sock", "run/tpmky: no such file or directory; make this directory, or put the socket into " + root + "/run/tpmkey"},
		{"run/tpmkey-web/tpms.sock", "run/tpmkey-web: no such file or directory"},
		{"run/tpmkey/a/b/tpms.sock", "no such file or directory"},
		{"run/tpmkey/tpms.sock", "is the socket for everybody"},
	} {
		d := doors{everybody: filepath.Join(root, "run/tpmkey/tpms.sock")}
		path := filepath.Join(root, row.path)
		before := isThere(filepath.Dir(path))
		l, err := d.makeDoor(namespace.Socket{Path: path, Mode: 0o600, UID: -1, GID: -1})
		if err == nil {
			l.Close()
		}
		if (err == nil) != (row.fails == "") || err != nil && !strings.Contains(err.Error(), row.fails) {
			t.Errorf("%s: %v, want %q", row.path, err, row.fails)
		}
		if err != nil && isThere(filepath.Dir(path)) != before {
			t.Errorf("%s: a directory was made all the same", row.path)
		}
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// What a reload says of how many namespaces there are.
func TestCount(t *testing.T) {
	for _, row := range []struct {
		r    rules
		want string
	}{
		{rules{set: &namespace.Set{}, missing: true}, "no namespaces, since there is no /f"},
		{rules{set: &namespace.Set{}}, "0 namespaces from /f"},
		{rules{set: &namespace.Set{Namespaces: make([]namespace.Namespace, 1)}}, "1 namespace from /f"},
		{rules{set: &namespace.Set{Namespaces: make([]namespace.Namespace, 2)}}, "2 namespaces from /f"},
	} {
		if got := row.r.count("/f"); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
	n := namespaces{path: filepath.Join(t.TempDir(), "none"), optional: true}
	if r, err := n.read(); err != nil || !r.missing {
		t.Errorf("a file that is not there: %+v, %v", r, err)
	}
}
