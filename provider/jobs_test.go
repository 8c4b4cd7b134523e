package provider

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary, run again with these, does one job in a directory, and nothing else.
const (
	jobVariable = "TPMKEY_TEST_JOB"
	dirVariable = "TPMKEY_TEST_DIR"
)

func init() {
	if os.Getenv(jobVariable) != "" {
		runtime.LockOSThread() // the jobs run on the first thread, which is the one that is traced
	}
}

func TestMain(m *testing.M) {
	j, ok := jobs[os.Getenv(jobVariable)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := do(j, os.Getenv(dirVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A job prepares what it needs, and gives what is done then.
type job func(dir string) (work func() error, err error)

func do(j job, dir string) error {
	work, err := j(dir)
	if err != nil {
		return err
	}
	return work()
}

// jobs are what processes do that are killed, or that the machine lets down.
var jobs = map[string]job{
	"add": addKey, "replace": replaceKey, "delete": deleteKey,
	"traced add": traced(addKey), "traced replace": traced(replaceKey), "traced delete": traced(deleteKey),
	"replace on a full disk": onFullDisk(replaceKey), "add on a full disk": onFullDisk(addKey),
	"replace, own": replaceWithOwn, "change PINs": changePINs,
}

// traced tells whoever traces the process that the work begins.
func traced(j job) job {
	return func(dir string) (func() error, error) {
		work, err := j(dir)
		return func() error {
			return errors.Join(unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1), work())
		}, err
	}
}

// keyIn is a key of a directory with a made-up private part.
func keyIn(dir, private string) (*Key, error) {
	text, err := os.ReadFile("testdata/tpm2-openssl.pem")
	if err != nil {
		return nil, err
	}
	file, err := parseKeyFile(text)
	if err != nil {
		return nil, err
	}
	file.private = []byte(private)
	p := Open([]string{dir}, nil)
	return newKey(p, "web", p.store.keyPath(dir, "web"), file)
}

const oldPrivate, newPrivate = "the old private part", "the new private part, which is longer"

func addKey(dir string) (func() error, error) {
	k, err := keyIn(dir, newPrivate)
	return func() error { return k.provider.store.add(k) }, err
}

func replaceKey(dir string) (func() error, error) { return replaceBy(dir, oldPrivate, newPrivate) }

func replaceBy(dir, private, by string) (func() error, error) {
	old, err := keyIn(dir, private)
	if err != nil {
		return nil, err
	}
	k, err := keyIn(dir, by)
	return func() error { return k.provider.store.replace(old, k) }, err
}

func deleteKey(dir string) (func() error, error) {
	k, err := keyIn(dir, oldPrivate)
	return func() error { return k.provider.Delete(k) }, err
}

// again is a command that does a job.
func again(t *testing.T, job, dir string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), jobVariable+"="+job, dirVariable+"="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func directoryWith(t *testing.T, private string) string {
	t.Helper()
	dir := t.TempDir()
	if private == "" {
		return dir
	}
	k, err := keyIn(dir, private)
	if err == nil {
		err = k.provider.store.add(k)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// privateIn reads the private part of the key in a directory as any other process would: "" where there is none.
func privateIn(t *testing.T, dir string) string {
	t.Helper()
	k, err := Open([]string{dir}, nil).Key("web")
	if errors.Is(err, ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(k.file.private)
}

func temporaryIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !slices.Contains([]string{"web.pem", "web.pub", lockFile}, name) {
			names = append(names, name)
		}
	}
	return names
}

// output runs a command and gives its last line of standard error.
func output(c *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	c.Stderr = &stderr
	err := c.Run()
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	return lines[len(lines)-1], err
}

func readAll(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "web.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
