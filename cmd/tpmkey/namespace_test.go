package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What others may write tpmkeyd does not read, so the tool, which does, says so.
func TestNamespaceOfUntrustedFilter(t *testing.T) {
	dir := t.TempDir()
	file, profile := filepath.Join(dir, "namespaces.toml"), filepath.Join(dir, "mine.profile")
	for path, text := range map[string]string{file: "[[namespace]]\nname = \"a\"\nfilter = \"" + profile + "\"\n", profile: "profile mine from rsa: a try\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for mode, trusted := range map[os.FileMode]bool{0o666: false, 0o644: os.Geteuid() == 0} {
		if err := os.Chmod(profile, mode); err != nil {
			t.Fatal(err)
		}
		output, err := command(t, "", t.TempDir(), "namespace", "list", "-file", file).CombinedOutput()
		if err != nil || strings.Contains(string(output), "hint: tpmkeyd does not read "+profile+", since others may write it; run: chown root") == trusted {
			t.Errorf("%v: %v: %s", mode, err, output)
		}
	}
}

// A socket that no namespace has can be a slip of the pen, and then what the tool says of it holds nowhere.
func TestNamespaceOfNoSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "namespaces.toml")
	if err := os.WriteFile(file, []byte("[[namespace]]\nname = \"box\"\nsocket = \"/run/tpmkey/box.sock\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for socket, hinted := range map[string]bool{"/run/tpmkey/bx.sock": true, "/run/tpmkey/box.sock": false, "/run/tpmkey/tpms.sock": false} {
		output, err := command(t, "", t.TempDir(), "namespace", "test", "-file", file, "-socket", socket, "0").CombinedOutput()
		if err != nil || strings.Contains(string(output), "hint: no namespace has the socket "+socket) != hinted {
			t.Errorf("%s: %v: %s", socket, err, output)
		}
	}
}
