package device

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

func TestHandedDescriptor(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, row := range []struct{ pid, count, names, want string }{
		{own, "1", "tpmkey", "fd:3"},
		{own, "3", "http:tpmkey:other", "fd:4"},
		{"1", "1", "tpmkey", ""},
		{"", "1", "tpmkey", ""},
		{own, "1", "http", ""},
		{own, "1", "http:tpmkey", ""},
		{own, "", "tpmkey", ""},
		{own, "-1", "tpmkey", ""},
	} {
		t.Setenv("LISTEN_PID", row.pid)
		t.Setenv("LISTEN_FDS", row.count)
		t.Setenv("LISTEN_FDNAMES", row.names)
		if got := handedDescriptor(); got != row.want {
			t.Errorf("%+v: %q", row, got)
		}
	}
}

// handedTest tells a test binary that is started again to use what it was handed.
const handedTest = "TPMKEY_TEST_HANDED"

// A service uses what systemd hands to it, and nothing else when that is no use.
func TestUseHandedDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	listening, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close()
	relay(t, l, tpmtest.SWTPM(t))
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	connected, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	for _, row := range []struct {
		file *os.File
		want string
	}{
		{connected, "handed and used"},
		{listening, "the descriptor that systemd has handed to this service under the name tpmkey cannot be used: open fd:3: a socket that waits for clients"},
	} {
		// The shell stands for systemd: it sets the variables in the process that becomes the program.
		c := exec.Command("sh", "-c", "LISTEN_PID=$$ exec "+os.Args[0]+" -test.run=^TestHandedProgram$ -test.v")
		c.Env = append(os.Environ(), handedTest+"=1", "TPMKEY_DEVICE=", "LISTEN_FDS=1", "LISTEN_FDNAMES=tpmkey")
		c.ExtraFiles = []*os.File{row.file}
		if out, _ := c.CombinedOutput(); !strings.Contains(string(out), row.want) {
			t.Errorf("want %q:\n%s", row.want, out)
		}
	}
}

// TestHandedProgram is the service of TestUseHandedDescriptor.
func TestHandedProgram(t *testing.T) {
	if os.Getenv(handedTest) == "" {
		return
	}
	d, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := random(d); err != nil {
		t.Fatal(err)
	}
	t.Log("handed and used")
}
