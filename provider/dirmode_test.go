package provider

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The directory of a user's keys is his alone, the one of services' keys everybody may enter, whatever the umask is; what was there before stays as it was.
func TestMakeDir(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	for _, row := range []struct {
		name, dir string
		want      os.FileMode
	}{
		{"services", SystemDir, 0o755},
		{"a user", "/var/me/.local/share/tpmkey", 0o700},
	} {
		root := t.TempDir()
		there := filepath.Join(root, "etc")
		if err := os.Mkdir(there, 0o711); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(there, 0o711); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(there, "tpmkey", "keys")
		for range 2 { // the second time it is there
			if err := makeDir(dir, dirMode(row.dir)); err != nil {
				t.Fatal(err)
			}
		}
		for path, want := range map[string]os.FileMode{there: 0o711, filepath.Dir(dir): row.want, dir: row.want} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %s: %v, %v; want %v", row.name, path, info.Mode(), err, want)
			}
		}
		file := filepath.Join(root, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if makeDir(file, 0o700) == nil || makeDir(filepath.Join(file, "keys"), 0o700) == nil {
			t.Errorf("%s: a file is taken for a directory", row.name)
		}
	}
}

// What somebody puts in the place of a new directory stays as it was.
func TestGiveMode(t *testing.T) {
	root := t.TempDir()
	other, file := filepath.Join(root, "other"), filepath.Join(root, "file")
	if err := os.Mkdir(other, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": other, "link to a file": file} {
		link := filepath.Join(root, name)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		if giveMode(link, 0o700) == nil || giveMode(link+"/", 0o700) == nil {
			t.Errorf("%s is taken for the new directory", name)
		}
		if after, err := os.Stat(target); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s: %v, %v", name, after.Mode(), err)
		}
	}
}
