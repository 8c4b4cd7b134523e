package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
