//go:build check

// Package packaging has only tests: of what make packages makes.
package packaging

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// A root is a system that has never seen tpmkey. Its systemd, udev and modprobe write down what they are asked to do.
type root struct {
	t   *testing.T
	dir string
}

const recorder = `#!/bin/sh
case "$*" in
*is-active*) exit 3 ;;
*is-enabled*) echo enabled; exit 0 ;;
esac
echo "${0##*/} $*" >>/calls
`

// newRoot makes Debian's smallest system.
func newRoot(t *testing.T) root {
	t.Helper()
	tpmtest.Need(t, "mmdebstrap", "dpkg-deb", "rpm")
	if os.Getuid() != 0 {
		tpmtest.Missing(t, "only root makes a root")
	}
	r := root{t, filepath.Join(t.TempDir(), "root")}
	// What is not kept need not reach the disk, and is not read.
	r.must(exec.Command("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--skip=cleanup", "bookworm", r.dir))
	for _, name := range []string{"systemctl", "udevadm", "modprobe"} {
		if err := os.WriteFile(filepath.Join(r.dir, "usr/bin", name), []byte(recorder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r root) must(c *exec.Cmd) string {
	r.t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

// run runs a program in the root, which has no network.
func (r root) run(args ...string) string {
	r.t.Helper()
	c := exec.Command("unshare", append([]string{"--net", "--pid", "--fork", "--mount-proc=" + filepath.Join(r.dir, "proc"), "chroot", r.dir}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "HOME=/root", "LC_ALL=C"}
	return r.must(c)
}

// calls gives what was asked for since the last time.
func (r root) calls() string {
	r.t.Helper()
	path := filepath.Join(r.dir, "calls")
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	os.Remove(path)
	return string(text)
}

func (r root) write(path, content string) {
	r.t.Helper()
	path = filepath.Join(r.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r root) has(path string) bool {
	_, err := os.Lstat(filepath.Join(r.dir, path))
	return err == nil
}

// files are all that there are, with modes, but for what dpkg, rpm and apt keep of every package.
func (r root) files() map[string]fs.FileMode {
	r.t.Helper()
	own := []string{"/var/lib/dpkg/", "/var/lib/apt/", "/var/lib/rpm/", "/root/.rpmdb/", "/var/cache/", "/var/log/", "/tmp/", "/proc/"}
	all := map[string]fs.FileMode{}
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, r.dir)
		for _, dir := range own {
			if strings.HasPrefix(name+"/", dir) {
				return nil
			}
		}
		info, err := d.Info()
		all[name] = info.Mode()
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// added lists what is in one and not in the other, or otherwise, a line for each.
func added(from, to map[string]fs.FileMode) []string {
	var lines []string
	for name, mode := range to {
		if old, ok := from[name]; !ok || old != mode {
			lines = append(lines, fmt.Sprint(mode, " ", name))
		}
	}
	return lines
}
