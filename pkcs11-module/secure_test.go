package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
)

// somebody is a user without any rights.
const somebody = 12345

// A trap is an environment by somebody who wants a host with more rights to do what he likes: with his keys, his TPM and his programs.
type trap struct {
	*setting
	dir string // of programs, and of what shows that something was done
}

func newTrap(t *testing.T) trap {
	t.Helper()
	x := trap{newShared(t), t.TempDir()}
	x.fill(t, filepath.Join(x.home, "tpmkey"), "guarded")
	for _, program := range []string{"askpass", "ssh-askpass", "pinentry", "systemd-ask-password", "systemd-tty-ask-password-agent"} {
		text := fmt.Sprintf("#!/bin/sh\n: >%s\necho 1234\n", filepath.Join(x.dir, "asked"))
		if err := os.WriteFile(filepath.Join(x.dir, program), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// fill puts keys without and with a PIN into a directory, and a file that the log has to be told of.
func (x trap) fill(t *testing.T, dir, guarded string, names ...string) {
	t.Helper()
	keys := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(x.spec) })
	defer keys.Close()
	for _, name := range append(names, guarded) {
		template := provider.Template{}
		if name == guarded {
			template.PIN = []byte("1234")
		}
		if _, err := keys.Create(name, template); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.pem"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (x trap) environment() []string {
	env := append(x.setting.environment(), "TPMKEY_LOG="+x.log(), "SSH_ASKPASS="+filepath.Join(x.dir, "askpass"), "SSH_ASKPASS_REQUIRE=force",
		"DISPLAY=:0", "WAYLAND_DISPLAY=wayland-0", "GODEBUG=inittrace=1", "GOTRACEBACK=crash", "GOMAXPROCS=1", "TZ=../../etc/passwd")
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"} {
		env = append(env, name+"="+x.dir)
	}
	return env
}

func (x trap) log() string { return filepath.Join(x.dir, "log") }

// sprung tells what the host took out of the environment.
func (x trap) sprung() (signs []string) {
	for _, name := range []string{"log", "asked"} {
		if _, err := os.Stat(filepath.Join(x.dir, name)); err == nil {
			signs = append(signs, name)
			os.Remove(filepath.Join(x.dir, name))
		}
	}
	if len(x.tpm.Commands()) > 0 {
		signs = append(signs, "tpm")
		x.tpm.Reset()
	}
	return signs
}

// run gives what a host says, with the environment that its helper has.
func (x trap) run(t *testing.T, c *exec.Cmd) (lines, environment []string) {
	t.Helper()
	x.tpm.Reset()
	c.Env = x.environment()
	var complaints strings.Builder
	c.Stderr = &complaints
	in, out := pipes(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(out); said.Scan(); lines = append(lines, said.Text()) {
		if said.Text() == "ready" {
			environment = helperEnvironment(t)
			io.WriteString(in, "\n")
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, complaints.String())
	}
	noHelpers(t)
	return lines, environment
}

func pipes(t *testing.T, c *exec.Cmd) (io.Writer, io.Reader) {
	t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return in, out
}

// helperEnvironment is that of the helper that runs.
func helperEnvironment(t *testing.T) []string {
	t.Helper()
	pids := helpers(t)
	if len(pids) == 0 && os.Getuid() != 0 {
		t.Log("not tested here: only root sees the environment of a helper with other rights")
		return nil
	}
	if len(pids) != 1 {
		t.Fatalf("helpers %v", pids)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 })
}

// raised gives a copy of a host that has more rights than whoever runs it, as root by its owner or its group, else by one of the caller's other groups;
// and has it run by such a person.
func raised(t *testing.T, bit os.FileMode) func(arguments ...string) *exec.Cmd {
	t.Helper()
	group := 0
	if os.Getuid() != 0 {
		groups, err := os.Getgroups()
		i := slices.IndexFunc(groups, func(g int) bool { return g != os.Getegid() })
		if err != nil || i < 0 || bit == os.ModeSetuid {
			t.Logf("not tested here: only root can make a program that has other rights (%v, groups %v, %v)", bit, groups, err)
			return nil
		}
		group = groups[i]
	}
	program := filepath.Join(buildDir, "host-raised")
	if output, err := exec.Command("cp", hostInC(t, "secure"), program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Cleanup(func() { os.Remove(program) })
	if err := os.Chown(program, os.Getuid(), group); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, bit|0o755); err != nil {
		t.Fatal(err)
	}
	return func(arguments ...string) *exec.Cmd {
		c := exec.Command(program, arguments...)
		if os.Getuid() == 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: somebody, Gid: somebody}}
		}
		return c
	}
}

// A host with raised privileges (AT_SECURE) takes nothing from its environment, nor does its helper. The same host without them does, which shows that there
// is something to take.
func TestRaisedPrivileges(t *testing.T) {
	module := module(t)
	x := newTrap(t)
	arguments := []string{module, "stay", "demo", "guarded"}
	t.Run("none", func(t *testing.T) {
		lines, environment := x.run(t, exec.Command(hostInC(t, "secure"), arguments...))
		wantLines(t, lines, "raised 0", "host demo 0x0", "host guarded 0x0", "child demo 0x0", "child guarded 0x0", "ready")
		wantLines(t, x.sprung(), "log", "asked", "tpm")
		if !slices.Contains(environment, "TPMKEY_DEVICE="+x.spec) {
			t.Errorf("the helper's environment: %q", environment)
		}
	})
	for _, bit := range []os.FileMode{os.ModeSetuid, os.ModeSetgid} {
		t.Run(bit.String(), func(t *testing.T) {
			host := raised(t, bit)
			if host == nil {
				return
			}
			lines, environment := x.run(t, host(arguments...))
			wantLines(t, lines, "raised 1", "host demo nowhere", "host guarded nowhere", "child demo nowhere", "child guarded nowhere", "ready")
			wantLines(t, x.sprung())
			wantLines(t, environment)
		})
	}
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// writeObject makes a file for a data object (token/stored.go), and tells where it is.
func writeObject(t *testing.T, store, label string) (path string) {
	t.Helper()
	text := []byte("tpmkey PKCS #11 object\n")
	for _, number := range []uint64{0 /* CKO_DATA */, 3 /* CKA_LABEL */, uint64(len(label))} {
		text = binary.NativeEndian.AppendUint64(text, number)
	}
	path = filepath.Join(store, "objects", label+".object")
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, append(text, label...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// inNamespace is a script: with a passwd file and the folder of a broker's socket in their places, it runs a program as a user. PATH is for the program.
const inNamespace = `hostile=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -e
mount --bind "$1" /etc/passwd
mount -t tmpfs none /dev
mount -t tmpfs none /run
mkdir /run/tpmkey
mount --bind "$2" /run/tpmkey
user=$3
shift 3
setpriv=$(command -v setpriv)
PATH=$hostile
exec "$setpriv" --reuid "$user" --regid "$user" --clear-groups "$@"`

// A host with raised privileges works all the same, with the caller's own keys and the device that is there: both are put where they belong in a mount
// namespace. It asks nobody for a PIN.
func TestRaisedPrivilegesAtWork(t *testing.T) {
	module := module(t)
	x := newTrap(t)
	if output, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); os.Getuid() != 0 || err != nil {
		t.Logf("not tested here: only root with mount namespaces can put keys and device where such a host looks for them (%v, %s)", err, output)
		return
	}
	own := t.TempDir()
	store := filepath.Join(own, ".local/share/tpmkey")
	x.fill(t, store, "secret", "mine")
	writeObject(t, store, "own")
	foreign := writeObject(t, store, "foreign")
	passwd := filepath.Join(own, "passwd")
	text := fmt.Sprintf("root:x:0:0::%s:/bin/sh\nsomebody:x:%d:%[2]d::%[1]s:/bin/sh\n", own, somebody)
	if err := os.WriteFile(passwd, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		becomes string
		owner   int
		child   []string // what it sees of files of others: to a helper that root starts they are as good as root's
	}{
		{"stay", somebody, []string{"child data own"}},
		{"root", 0, []string{"child data foreign", "child data own"}},
	} {
		t.Run(row.becomes, func(t *testing.T) {
			if output, err := exec.Command("chown", "-R", fmt.Sprint(row.owner), own).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			if err := os.Chown(foreign, somebody+1, somebody+1); err != nil {
				t.Fatal(err)
			}
			host := raised(t, os.ModeSetuid)(module, row.becomes, "demo", "guarded", "mine", "secret")
			broker := filepath.Dir(strings.TrimPrefix(x.spec, "broker:"))
			c := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "/bin/sh", "-c", inNamespace, "sh", passwd, broker, fmt.Sprint(somebody)},
				host.Args...)...)
			lines, environment := x.run(t, c)
			wantLines(t, lines, slices.Concat([]string{"raised 1",
				"host demo nowhere", "host guarded nowhere", "host mine 0x0", "host secret 0x101", "host data own",
				"child demo nowhere", "child guarded nowhere", "child mine 0x0", "child secret 0x101"}, row.child, []string{"ready"})...)
			wantLines(t, x.sprung(), "tpm") // for the device is the same
			wantLines(t, environment)
		})
	}
}
