package device

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
)

func random(d *Device) error {
	_, err := tpm2.GetRandom{BytesRequested: 16}.Execute(d)
	return err
}

func TestOpenEmulator(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		d, err := Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := random(d); err != nil {
			t.Error(err)
		}
		// Nobody named a filter, so there is the strong one.
		_, err = tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}.Execute(d)
		var rc tpm2.TPMRC
		if !errors.As(err, &rc) || rc != 0x000B0143 {
			t.Errorf("clear: %v, want a denial", err)
		}
		boundary, why := d.Boundary()
		if d.Managed() || boundary || !strings.Contains(why, "safety net") || d.Spec() != spec {
			t.Errorf("a chip in one's own hands: boundary %v, %s", boundary, why)
		}
		d.Close()
		if d.Close(); random(d) == nil {
			t.Error("a closed device has answered")
		}
	})
}

// relay serves one connection of a listener with an emulator behind it.
func relay(t *testing.T, l net.Listener, spec string) {
	t.Helper()
	raw := tpmtest.Dial(t, spec)
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			response, err := raw.Send(buffer[:n])
			if err != nil {
				return
			}
			for _, b := range response { // byte by byte: a stream keeps no message together
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
			}
		}
	}()
}

func TestOpenTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay(t, l, tpmtest.SWTPM(t))
	d, err := Open("tcp:" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := random(d); err != nil {
		t.Error(err)
	}
}

func TestOpenBroker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	relay(t, l, tpmtest.SWTPM(t))
	d, err := Open("broker:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := random(d); err != nil || !d.Managed() {
		t.Errorf("managed %v, %v", d.Managed(), err)
	}
}

func TestOpenDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	relay(t, l, tpmtest.SWTPM(t))
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	program := exec.Command(os.Args[0], "-test.run=^TestInheritedDescriptor$", "-test.v")
	program.Env = append(os.Environ(), "TPMKEY_DEVICE=fd:3")
	program.ExtraFiles = []*os.File{file}
	if out, err := program.CombinedOutput(); err != nil || !strings.Contains(string(out), "inherited and used") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestInheritedDescriptor is the program that TestOpenDescriptor passes a descriptor to.
func TestInheritedDescriptor(t *testing.T) {
	if os.Getenv("TPMKEY_DEVICE") != "fd:3" {
		return
	}
	d, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := random(d); err != nil {
		t.Fatal(err)
	}
	t.Log("inherited and used")
}

// What is no TPM, or cannot be opened: one clear sentence each, at once.
func TestBadDevices(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"/dev/tpm-none":      "no such file",
		file:                 "not a character device",
		dir:                  "is a directory",
		"unix:" + dir + "/x": "no such file",
		"unix:" + file:       "connection refused",
		"tcp:127.0.0.1:1":    "connection refused",
		"fd:250":             "no such descriptor",
		"/dev/null":          "it is no TPM",
		"/dev/zero":          "not a TPM's answer",
	} {
		d, err := Open(spec)
		if err == nil {
			err = random(d)
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strings.TrimPrefix(spec, "unix:")) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Setenv("TPMKEY_DEVICE", "/dev/tpm-none")
	_, err := Open("")
	var notFound *NotFoundError
	if !errors.As(err, &notFound) || !notFound.Named || len(notFound.Tried) != 1 || !strings.Contains(err.Error(), "TPMKEY_DEVICE") {
		t.Errorf("a device that the environment names: %v", err)
	}
	t.Setenv("TPMKEY_DEVICE", "")
	if want := []string{"/dev/tpms", "broker:/run/tpmkey/tpms.sock", "/dev/tpmrm0", "/dev/tpm0"}; !slices.Equal(order, want) {
		t.Errorf("searched for %q", order)
	}
	// What is on this machine must not matter.
	dir, usual := t.TempDir(), order
	t.Cleanup(func() { order = usual })
	first, second := listenOn(t, dir, "first"), listenOn(t, dir, "second")
	for _, row := range []struct {
		order []string
		want  string // "": nothing is found
	}{
		{[]string{first, second}, first},
		{[]string{"/dev/tpm-none", "broker:" + dir + "/none", second, first}, second},
		{[]string{"/dev/tpm-none", "broker:" + dir + "/none"}, ""},
	} {
		order = row.order
		checkSearch(t, row.want)
	}
}

// listenOn gives the spec of a socket that takes connections, and never answers.
func listenOn(t *testing.T, dir, name string) string {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "unix:" + l.Addr().String()
}

func checkSearch(t *testing.T, want string) {
	t.Helper()
	d, err := Open("")
	if err == nil {
		defer d.Close()
		if d.Spec() != want {
			t.Errorf("%q: opened %s, want %q", order, d.Spec(), want)
		}
		return
	}
	var notFound *NotFoundError
	if want != "" || !errors.As(err, &notFound) || len(notFound.Tried) != len(order) {
		t.Errorf("%q: %v, want %q", order, err, want)
	}
	for _, spec := range order {
		if !strings.Contains(err.Error(), spec) {
			t.Errorf("%s is not said to have been tried: %v", spec, err)
		}
	}
}

func TestExplainPermission(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tpm")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	err := &NotFoundError{Tried: []error{explain(file, unix.EACCES)}}
	for _, want := range []string{"permission denied", "mode 0640", "user " + userName(uint32(os.Getuid())), "tpmkeyd"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
}

// A server that is neither root nor ourselves is not talked to.
func TestTrusted(t *testing.T) {
	for _, row := range []struct {
		server, client uint32
		want           bool
	}{{0, 1000, true}, {1000, 1000, true}, {0, 0, true}, {1001, 1000, false}, {1000, 0, false}, {65534, 1000, false}} {
		if got := trusted(row.server, row.client, "/run/tpmkey/tpms.sock"); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
	if os.Getuid() == 0 {
		testStrangersSocket(t) // only root can play the stranger too
	}
}

func testStrangersSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	listening := make(chan net.Listener)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread with the other uid ends with this goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			t.Error(errno)
		}
		l, err := net.Listen("unix", path) // the kernel remembers who called listen
		if err != nil {
			t.Error(err)
		}
		listening <- l
	}()
	defer (<-listening).Close()
	if _, err := Open("broker:" + path); err == nil || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("a stranger's socket: %v", err)
	}
}

// Close wakes a Send that waits on a socket.
func TestCloseUnblocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := Open("broker:" + path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- random(d) }()
	time.Sleep(50 * time.Millisecond)
	d.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("answered by nobody")
		}
	case <-time.After(5 * time.Second):
		t.Error("Close has not woken the command")
	}
}
