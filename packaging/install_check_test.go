//go:build check

package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/internal/version"
)

// built is a file that make packages has made.
func built(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../build/packages", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run: make packages", err)
	}
	return path
}

func deb(arch string) string { return "tpmkey_" + version.Number + "-1_" + arch + ".deb" }
func rpm(arch string) string { return "tpmkey-" + version.Number + "-1." + arch + ".rpm" }

// What systemd, udev and the kernel are asked for.
const (
	reload  = "systemctl --system daemon-reload\n"
	start   = "systemctl --quiet --system start tpmkeyd.socket tpmkeyd-control.socket tpmkeyd-metrics.socket\n"
	restart = "systemctl try-restart tpmkeyd.service\n"
	stop    = "systemctl stop tpmkeyd.socket tpmkeyd-control.socket tpmkeyd-metrics.socket tpmkeyd.service\n"
	device  = "udevadm control --reload\nmodprobe -q cuse\nudevadm trigger --subsystem-match=misc --sysname-match=cuse\n"
)

// Files that somebody has made since: tpmkeyd, and an administrator.
const (
	state = "/var/lib/tpmkey/state"
	key   = "/etc/tpmkey/keys/web.pem"
)

// A package comes, is replaced by its next version, goes, comes again, and is purged: nothing is left but the keys.
func TestLifeOfPackages(t *testing.T) {
	r := newRoot(t)
	before := r.files()
	for name, path := range map[string]string{"/tmp/tpmkey.deb": built(t, deb("amd64")), "/tmp/next.deb": nextVersion(t)} {
		r.must(exec.Command("cp", path, filepath.Join(r.dir, name)))
	}
	install := []string{"apt-get", "install", "-qy", "--no-install-recommends"}
	for _, row := range []struct {
		name       string
		command    []string
		calls      string
		state, key bool // whether it is there afterwards
	}{
		{"install", append(install, "/tmp/tpmkey.deb"), reload + start + device, false, false},
		{"upgrade", append(install, "/tmp/next.deb"), reload + start + restart + device, true, true},
		{"remove", []string{"apt-get", "remove", "-qy", "tpmkey"}, stop + reload, true, true},
		{"again", append(install, "/tmp/next.deb"), reload + start + restart + device, true, true},
		{"purge", []string{"apt-get", "purge", "-qy", "tpmkey"}, stop + reload, false, true},
	} {
		said := r.run(row.command...)
		if calls := r.calls(); calls != row.calls {
			t.Errorf("%s: asked for\n%swant\n%s%s", row.name, calls, row.calls, said)
		}
		if r.has(state) != row.state || r.has(key) != row.key || strings.Contains(said, "arning") {
			t.Errorf("%s: state %v, key %v: %s", row.name, r.has(state), r.has(key), said)
		}
		switch row.name {
		case "install":
			checkInstalled(t, r, added(before, r.files()))
			r.write(state, "of brakes")
			r.write(key, "of a service")
			r.write("/run/tpmkey/tpms.sock", "")
		case "remove":
			if r.has("/run/tpmkey") || r.has("/usr/sbin/tpmkeyd") {
				t.Error("it is still there")
			}
		}
	}
	os.RemoveAll(filepath.Join(r.dir, "/etc/tpmkey"))
	if left, gone := added(before, r.files()), added(r.files(), before); len(left)+len(gone) > 0 {
		t.Errorf("left %q, changed or gone %q", left, gone)
	}
	checkRPM(t, r)
}

// nextVersion is the package under a higher number.
func nextVersion(t *testing.T) string {
	t.Helper()
	r := root{t, t.TempDir()}
	tree, path := filepath.Join(r.dir, "tree"), filepath.Join(r.dir, "next.deb")
	r.must(exec.Command("dpkg-deb", "-R", built(t, deb("amd64")), tree))
	r.must(exec.Command("sed", "-i", "s/^Version: .*/&.1/", filepath.Join(tree, "DEBIAN/control")))
	r.must(exec.Command("dpkg-deb", "-Znone", "-b", tree, path))
	return path
}

// checkInstalled looks at what a package has put on the machine.
func checkInstalled(t *testing.T, r root, files []string) {
	t.Helper()
	for _, want := range []string{
		"-rwxr-xr-x /usr/bin/tpmkey", "-rwxr-xr-x /usr/sbin/tpmkeyd", "-rwxr-xr-x /usr/sbin/tpmkeyd-metrics", "-rwxr-xr-x /usr/libexec/tpmkey/tpmkey-pkcs11-helper", "-rwxr-xr-x /usr/libexec/tpmkey/tpmkey-probe",
		"-rw-r--r-- /usr/lib/x86_64-linux-gnu/pkcs11/tpmkey-pkcs11.so", "-rw-r--r-- /usr/share/p11-kit/modules/tpmkey.module",
		"-rw-r--r-- /usr/lib/udev/rules.d/60-tpmkeyd.rules", "-rw-r--r-- /usr/lib/modules-load.d/tpmkeyd.conf", "-rw-r--r-- /usr/include/tpms.h",
		"-rw-r--r-- /usr/lib/systemd/system/tpmkeyd.service", "-rw-r--r-- /usr/lib/systemd/system/tpmkeyd.socket", "-rw-r--r-- /usr/lib/systemd/system/tpmkeyd-control.socket",
		"-rw-r--r-- /usr/lib/systemd/system/tpmkeyd-metrics.service", "-rw-r--r-- /usr/lib/systemd/system/tpmkeyd-metrics.socket",
		"Lrwxrwxrwx /usr/lib/systemd/system/sockets.target.wants/tpmkeyd.socket", "Lrwxrwxrwx /usr/lib/systemd/system/sockets.target.wants/tpmkeyd-control.socket",
		"Lrwxrwxrwx /usr/lib/systemd/system/sockets.target.wants/tpmkeyd-metrics.socket",
		"-rw-r--r-- /usr/share/bash-completion/completions/tpmkey", "-rw-r--r-- /usr/share/zsh/vendor-completions/_tpmkey", "-rw-r--r-- /usr/share/fish/vendor_completions.d/tpmkey.fish",
		"drwxr-xr-x /usr/share/doc/tpmkey",
	} {
		if !slices.Contains(files, want) {
			t.Errorf("there is no %s among %q", want, files)
		}
	}
	for _, file := range files {
		if !strings.HasPrefix(file[len("-rwxr-xr-x "):], "/usr/") {
			t.Errorf("%s is not below /usr", file)
		}
	}
	if foreign := r.run("find", "/usr", "/etc", "(", "!", "-user", "root", "-o", "!", "-group", "root", ")", "-name", "*tpmkey*"); foreign != "" {
		t.Errorf("not root's: %s", foreign)
	}
	var facts struct{ Version, Module string }
	if err := json.Unmarshal([]byte(r.run("tpmkey", "version", "-json")), &facts); err != nil || facts.Version != version.Number || !strings.HasSuffix(facts.Module, "/pkcs11/tpmkey-pkcs11.so") {
		t.Errorf("tpmkey version says %+v, %v", facts, err)
	}
	if said := r.run("tpmkeyd", "-version"); said != "tpmkeyd "+version.Number+"\n" {
		t.Errorf("tpmkeyd -version says %s", said)
	}
}

// checkRPM installs and erases the rpm.
func checkRPM(t *testing.T, r root) {
	t.Helper()
	// Folders that Fedora's package filesystem has.
	for _, dir := range []string{"fish/vendor_completions.d", "zsh/site-functions", "licenses"} {
		r.must(exec.Command("mkdir", "-p", filepath.Join(r.dir, "/usr/share", dir)))
	}
	before := r.files()
	manager := func(args ...string) {
		t.Helper()
		r.must(exec.Command("rpm", append([]string{"--root", r.dir, "--nodeps", "--force-debian", "--nosignature"}, args...)...))
	}
	manager("-i", built(t, rpm("x86_64")))
	if calls, want := r.calls(), "systemctl daemon-reload\nsystemctl start tpmkeyd.socket tpmkeyd-control.socket tpmkeyd-metrics.socket\n"+device; calls != want {
		t.Errorf("rpm -i: asked for\n%swant\n%s", calls, want)
	}
	for _, path := range []string{"/usr/lib64/pkcs11/tpmkey-pkcs11.so", "/usr/share/zsh/site-functions/_tpmkey", "/usr/lib/systemd/system/sockets.target.wants/tpmkeyd.socket"} {
		if !r.has(path) {
			t.Errorf("rpm -i: there is no %s", path)
		}
	}
	manager("-V", "tpmkey")
	r.write(state, "of brakes")
	manager("-e", "tpmkey")
	if calls, want := r.calls(), stop+"systemctl daemon-reload\n"; calls != want {
		t.Errorf("rpm -e: asked for\n%swant\n%s", calls, want)
	}
	if !r.has(state) {
		t.Error("rpm -e: the state is gone")
	}
	os.RemoveAll(filepath.Join(r.dir, "/var/lib/tpmkey"))
	if left := added(before, r.files()); len(left) > 0 {
		t.Errorf("rpm -e: left %q", left)
	}
}
