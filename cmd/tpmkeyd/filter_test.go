package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadFilter(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const good = "profile mine from use: less\n"
	for _, row := range []struct{ name, want string }{
		{"use", ""}, {"rsa+ecc", ""},
		{write("good", good, 0o644), ""},
		{"users", `"users" is none of the profiles: use, rsa,`},
		{"users", "a path with a slash in it: ./users"},
		{write("bad", good+"allow TPM2_Sing: x\n", 0o644), `bad: line 2: "TPM2_Sing" is no TPM command`},
		{write("open", good, 0o666), "open: others may write it; run: chown root"},
		{write("large", strings.Repeat("x", maxProfile+1), 0o644), "that is no profile"},
		{dir, "not a file"},
		{dir + "/missing", "no such file"},
	} {
		f, err := readFilter(row.name)
		switch {
		case row.want == "" && (err != nil || f == nil):
			t.Errorf("%s: %v", row.name, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}
