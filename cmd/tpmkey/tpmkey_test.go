package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tpmkey": main})
}

// promptExit keeps the race detector from waiting for a second before each program ends.
const promptExit = "atexit_sleep_ms=0"

// The scripts run tpmkey as a person would, each on a fresh emulated chip.
func TestScripts(t *testing.T) {
	tpmtest.Need(t, "ssh", "ssh-keygen", "openssl", "tpm2_changeauth", "nc")
	runScripts(t, "testdata", func(t testing.TB, _ *testscript.Env) string {
		return tpmtest.Serve(t, tpmtest.Dial(t, tpmtest.Simulator(t)))
	})
}

// runScripts runs the scripts of a directory, each on the device that it is given, with keys of its own.
func runScripts(t *testing.T, dir string, device func(testing.TB, *testscript.Env) string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("TPMKEY_DEVICE", device(env.T().(testing.TB), env))
			env.Setenv("XDG_DATA_HOME", env.WorkDir)
			env.Setenv("GORACE", promptExit)
			env.Setenv("KEYS", filepath.Join(env.WorkDir, "tpmkey"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"errors": oneError, "mode": checkMode},
	})
}

// oneError wants each line of the last command's standard error to be an error in the tool's form: lower case, without a full stop.
func oneError(script *testscript.TestScript, negated bool, _ []string) {
	said := script.ReadFile("stderr")
	if negated || said == "" {
		script.Fatalf("errors: there must be one: %q", said)
	}
	for line := range strings.Lines(said) {
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "tpmkey: error: ")
		if !ok || text == "" || strings.HasSuffix(text, ".") {
			script.Fatalf("errors: not in the tool's form: %q", line)
		}
	}
}

// checkMode wants a file to have the permissions that it names.
func checkMode(script *testscript.TestScript, negated bool, args []string) {
	info, err := os.Stat(script.MkAbs(args[1]))
	script.Check(err)
	if want, got := args[0], info.Mode().Perm().String(); negated || got != want {
		script.Fatalf("mode: %s has %s, not %s", args[1], got, want)
	}
}

// run runs tpmkey with a TPM and a store of its own.
func command(t *testing.T, spec, store string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("tpmkey")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, args...)
	c.Env = []string{"GORACE=" + promptExit, "TPMKEY_DEVICE=" + spec, "XDG_DATA_HOME=" + store, "PATH=" + os.Getenv("PATH")}
	return c
}

// A TPM that answers everything with an error makes one error, which names it, and no key.
func TestBadTPM(t *testing.T) {
	for name, row := range map[string]struct {
		answer tpm2.TPMRC
		want   string
	}{
		"failure mode": {tpm2.TPMRCFailure, "failure mode"},
		"not started":  {tpm2.TPMRCInitialize, "was not started"},
		"lockout":      {tpm2.TPMRCLockout, "locked after too many wrong passwords"},
		"denied":       {0x000B0143, "the TPM's filter does not allow this"},
	} {
		t.Run(name, func(t *testing.T) {
			failing := tpmtest.Func(func([]byte) ([]byte, error) {
				return binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, uint32(row.answer)), nil
			})
			expectFailure(t, command(t, "broker:"+socketPath(tpmtest.Serve(t, failing)), t.TempDir(), "new", "demo"), row.want)
		})
	}
	t.Run("garbage", func(t *testing.T) {
		garbled := tpmtest.Func(func([]byte) ([]byte, error) { return []byte("\x80\x01\x00\x00\x00\x0cgarble"), nil })
		expectFailure(t, command(t, tpmtest.Serve(t, garbled), t.TempDir(), "new", "demo"), "response")
	})
	t.Run("silence", func(t *testing.T) {
		silent := tpmtest.Func(func([]byte) ([]byte, error) { return nil, errors.New("gone") })
		expectFailure(t, command(t, tpmtest.Serve(t, silent), t.TempDir(), "new", "demo"), "closed")
	})
}

func socketPath(spec string) string { return strings.TrimPrefix(spec, "unix:") }

// expectFailure wants exit status 1, nothing on standard output, one line of error with a text in it, and no key.
func expectFailure(t *testing.T, c *exec.Cmd, want string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	said := stderr.String()
	if stdout.Len() > 0 || !strings.HasPrefix(said, "tpmkey: error: ") || strings.Count(said, "\n") != 1 || !strings.Contains(said, want) {
		t.Errorf("standard output %q, error %q, which should say %q", &stdout, said, want)
	}
	for _, variable := range c.Env {
		if store, ok := strings.CutPrefix(variable, "XDG_DATA_HOME="); ok {
			noFiles(t, filepath.Join(store, "tpmkey"))
		}
	}
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() == ".lock" { // stays for good
			continue
		}
		t.Errorf("%s was left behind", entry.Name())
	}
}

// Ctrl-C in the middle of a long creation ends it, with no key and nothing left in the chip.
func TestInterruptedNew(t *testing.T) {
	store := t.TempDir()
	interruptMaking(t, store, "new", "demo")
	noFiles(t, filepath.Join(store, "tpmkey"))
}

// interruptMaking presses Ctrl-C while a command waits for a new key. It must end with one error, say nothing else, and leave nothing in the chip.
func interruptMaking(t *testing.T, store string, args ...string) {
	t.Helper()
	spec := tpmtest.Simulator(t)
	chip := tpmtest.Dial(t, spec)
	making := make(chan struct{}, 10)
	slow := tpmtest.Func(func(cmd []byte) ([]byte, error) {
		if waitingFor(cmd) == "making the key in the TPM" {
			making <- struct{}{}
			time.Sleep(time.Second)
		}
		return chip.Send(cmd)
	})
	c := command(t, tpmtest.Serve(t, slow), store, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-making
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted || stdout.Len() > 0 || stderr.String() != "tpmkey: error: interrupted\n" {
		t.Errorf("%v, said %q and %q", err, &stdout, &stderr)
	}
	chip.Close()
	tpmtest.NoLeaks(t, spec)
}

// Two processes that make one name at once make one key, whole, and one error.
func TestSameNameAtOnce(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	var both [2]*exec.Cmd
	var said [2]bytes.Buffer
	for i := range both {
		both[i] = command(t, spec, store, "new", "demo")
		both[i].Stderr = &said[i]
		if err := both[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	failed := 0
	for i, c := range both {
		if c.Wait() != nil {
			failed++
			if !strings.Contains(said[i].String(), "a key of that name exists") {
				t.Errorf("said %q", &said[i])
			}
		}
	}
	if failed != 1 {
		t.Errorf("%d of 2 failed", failed)
	}
	if output, err := command(t, spec, store, "show", "demo").CombinedOutput(); err != nil {
		t.Errorf("show: %v\n%s", err, output)
	}
}

// A disk that is full in the middle of new leaves no half key. The limit on the size of files stands for the disk: anybody can set it.
func TestFullDisk(t *testing.T) {
	for _, limit := range []string{"0", "1"} { // KiB: nothing fits, or the key file does not
		c := command(t, tpmtest.Simulator(t), t.TempDir(), "new", "demo")
		c.Path, c.Args = "/bin/bash", append([]string{"bash", "-c", "ulimit -f " + limit + `; exec "$@"`, "bash"}, append([]string{c.Path}, c.Args[1:]...)...)
		expectFailure(t, c, "demo.pem: file too large")
	}
}

// A TPM and a store that belong to others make an error that says whose they are and what to do.
func TestNoPermission(t *testing.T) {
	dir := publicDir(t)
	owner, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(owner.Gid)
	if err != nil {
		t.Fatal(err)
	}
	chip := filepath.Join(dir, "tpm0")
	if err := os.WriteFile(chip, nil, 0); err != nil {
		t.Fatal(err)
	}
	c := asNobody(t, dir, command(t, chip, filepath.Join(dir, "none"), "device"))
	expectFailure(t, c, "permission denied: it belongs to user "+owner.Username+" and group "+group.Name+" with mode 0000 (any user may use tpmkeyd instead")
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(filepath.Join(store, "tpmkey"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(store, "tpmkey"), 0o555); err != nil {
		t.Fatal(err)
	}
	expectFailure(t, asNobody(t, dir, command(t, tpmtest.Simulator(t), store, "new", "demo")), "cannot be written: permission denied")
	if err := os.Chmod(filepath.Join(store, "tpmkey"), 0); err != nil {
		t.Fatal(err)
	}
	unreadable := asNobody(t, dir, command(t, chip, store, "list"))
	if said, err := unreadable.CombinedOutput(); err == nil || !strings.HasSuffix(string(said), "/store/tpmkey: permission denied\n") || strings.Count(string(said), "\n") != 1 {
		t.Errorf("list in a store that cannot be read: %v, %q", err, said)
	}
	if err := os.Chmod(filepath.Join(store, "tpmkey"), 0o700); err != nil { // for the cleaning up
		t.Fatal(err)
	}
}

// publicDir is a directory that everybody can enter, with a path that is short enough for a socket.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "tpmkey-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asNobody lets a command run without privileges. Root needs a copy of the program that others may reach.
func asNobody(t *testing.T, dir string, c *exec.Cmd) *exec.Cmd {
	t.Helper()
	if unix.Geteuid() != 0 {
		return c
	}
	program, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	c.Path = filepath.Join(dir, "tpmkey")
	if err := os.WriteFile(c.Path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return c
}
