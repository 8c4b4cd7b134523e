package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tpmkey.example/internal/control"
	"tpmkey.example/rm/tpmtest"
)

// serviceTest tells a test binary that is started again to be tpmkeyd, with these arguments.
const serviceTest = "TPMKEY_TEST_SERVICE"

func init() {
	if args := os.Getenv(serviceTest); args != "" {
		os.Exit(command(strings.Fields(args), os.Stdout, os.Stderr))
	}
}

// systemd stands for the real one: it makes the sockets, hands them over, and hears what the service says.
type systemd struct {
	dir    string
	files  []*os.File
	notify *net.UnixConn
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	m := &systemd{dir: openDir(t)}
	for _, name := range []string{"tpms.sock", "control.sock"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(m.dir, name)})
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(); file.Close() })
		m.files = append(m.files, file)
	}
	var err error
	if m.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(m.dir, "notify")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.notify.Close() })
	return m
}

// start starts the service. The shell sets the variables in the process that becomes it.
func (m *systemd) start(t *testing.T, names, args string) (*exec.Cmd, *journal) {
	t.Helper()
	j := &journal{}
	c := exec.Command("sh", "-c", "LISTEN_PID=$$ exec "+os.Args[0])
	c.Env = append(os.Environ(), serviceTest+"="+args+" -listen "+m.dir+"/tpms.sock -state "+m.dir+"/state -namespaces "+m.dir+"/namespaces.toml", fmt.Sprintf("LISTEN_FDS=%d", len(m.files)), "LISTEN_FDNAMES="+names,
		"NOTIFY_SOCKET="+m.dir+"/notify")
	c.ExtraFiles, c.Stderr = m.files, j
	if err := os.WriteFile(m.dir+"/namespaces.toml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, j
}

// heard is what the service says next.
func (m *systemd) heard(t *testing.T) string {
	t.Helper()
	m.notify.SetReadDeadline(time.Now().Add(time.Minute))
	b := make([]byte, 1000)
	n, err := m.notify.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// A service that systemd has started serves its sockets, says when it is ready and when it stops, and leaves when it is idle, but not the sockets: the next one finds
// whoever has connected meanwhile.
func TestSocketActivation(t *testing.T) {
	m, spec := newSystemd(t), tpmtest.SWTPM(t)
	for range 2 {
		waiting, err := net.Dial("unix", filepath.Join(m.dir, "tpms.sock"))
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, waiting, getRandom(8))
		c, j := m.start(t, "tpms:control", "-device "+spec+" -idle 1s")
		if said := m.heard(t); said != "READY=1" {
			t.Errorf("at first the service says %q", said)
		}
		wantRandom(t, mustRead(t, waiting, 10+2+8), 8)
		file, _, err := control.Ask(filepath.Join(m.dir, "control.sock"), control.Request{Filter: "use"})
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		waiting.Close()
		if said := m.heard(t); said != "STOPPING=1" {
			t.Errorf("in the end the service says %q", said)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%v\n%s", err, j)
		}
		j.await(t, "idle for 1s: leaving until somebody comes")
	}
	tpmtest.NoLeaks(t, spec)
}

// A service stays while somebody is there, and as long as a namespace has a socket of its own.
func TestNotIdle(t *testing.T) {
	s := serveWith(t, "")
	if !s.idle() {
		t.Error("not idle at first")
	}
	conn := talk(t, s.path)
	conn(getRandom(8))
	if s.idle() || s.close() {
		t.Error("idle with a client")
	}
	s.write(t, "[[namespace]]\nname = \"a\"\nsocket = \"%s/a.sock\"\n")
	other := serveWith(t, "[[namespace]]\nname = \"a\"\nsocket = \"%s/a.sock\"\n")
	if other.idle() {
		t.Error("idle with a socket of a namespace")
	}
}

func TestHandedSockets(t *testing.T) {
	m := newSystemd(t)
	for _, row := range []struct{ names, want string }{
		{"tpms:web", `systemd hands over a socket by the name of "web"; ours are tpms and control`},
		{"tpms", `systemd hands over "2" sockets with 1 names`},
		{"control:control", "systemd hands over no socket by the name of tpms"},
	} {
		c, j := m.start(t, row.names, "-device "+tpmtest.SWTPM(t))
		if err := c.Wait(); err == nil || !strings.Contains(j.String(), "tpmkeyd: error: ") || !strings.Contains(j.String(), row.want) {
			t.Errorf("%s: %v\n%s", row.names, err, j)
		}
	}
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "2")
	if handed, err := handedSockets(); handed != nil || err != nil || os.Getenv("LISTEN_FDS") != "" {
		t.Errorf("what is somebody else's: %v, %v", handed, err)
	}
}

// Without systemd the signals are what they were: TERM ends it, and leaves no socket.
func TestServiceByHand(t *testing.T) {
	dir, spec := openDir(t), tpmtest.SWTPM(t)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), serviceTest+"=-device "+spec+" -listen "+dir+"/tpms.sock -state "+dir+"/state")
	j := &journal{}
	c.Stderr = j
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	j.await(t, "serving "+spec+" on "+dir+"/tpms.sock, filter rsa")
	c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, j)
	}
	if left, _ := filepath.Glob(dir + "/*"); !slices.Equal(left, nil) && !slices.Equal(left, []string{dir + "/state"}) {
		t.Errorf("left behind: %v", left)
	}
	tpmtest.NoLeaks(t, spec)
}
