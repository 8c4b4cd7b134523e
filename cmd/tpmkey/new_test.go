package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is to be done with a new key depends on whose it is: a service's does not log in anywhere.
func TestNextSteps(t *testing.T) {
	for _, row := range []struct {
		path      string
		closed    []string
		want, not []string
	}{
		{"/var/me/.local/share/tpmkey/me.pem", []string{"/etc/tpmkey"}, []string{"ssh-copy-id -f -i /var/me/.local/share/tpmkey/me.pub ", "PKCS11Provider"}, []string{"chgrp", "chmod"}},
		{"/etc/tpmkey/keys/web.pem", nil, []string{"chgrp GROUP /etc/tpmkey/keys/web.pem\n", "chmod 640 /etc/tpmkey/keys/web.pem\n"}, []string{"ssh", "755"}},
		{"/etc/tpmkey/keys/web.pem", []string{"/etc/tpmkey", "/etc/tpmkey/keys"}, []string{"chgrp GROUP ", "chmod 755 /etc/tpmkey /etc/tpmkey/keys\n"}, []string{"ssh"}},
	} {
		got := nextSteps(row.path, row.closed)
		for _, want := range row.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %q", row.path, want, got)
			}
		}
		for _, not := range row.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q", row.path, got)
			}
		}
	}
}

func TestClosedToOthers(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o755, "entered": 0o711, "closed": 0o700, "group": 0o750} {
		if err := os.Mkdir(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	var dirs []string
	for _, name := range []string{"closed", "open", "entered", "group", "missing"} {
		dirs = append(dirs, filepath.Join(root, name))
	}
	want := []string{filepath.Join(root, "closed"), filepath.Join(root, "group")}
	if got := closedToOthers(dirs...); !slices.Equal(got, want) {
		t.Errorf("closed are %v, want %v", got, want)
	}
}
