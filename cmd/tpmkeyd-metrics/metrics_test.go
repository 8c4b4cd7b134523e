package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tpmkey.example/internal/control"
	"tpmkey.example/internal/version"
	"tpmkey.example/rm/tpmtest"
)

// metricsTest tells a test binary that is started again to be tpmkeyd-metrics, with these arguments.
const metricsTest = "TPMKEY_TEST_METRICS"

func init() {
	if args := os.Getenv(metricsTest); args != "" {
		os.Exit(command(strings.Fields(args), os.Stdout, os.Stderr))
	}
}

// told is what a tpmkeyd says, and lines what is made of it.
var (
	told = control.Usage{
		PID:      os.Getpid(),
		Chips:    []int{0, 1},
		Users:    []control.UserUse{{UID: 1000, Clients: 3, Queue: 2, Commands: 5, Denied: 1, Waited: 1500 * time.Millisecond, Ran: 250 * time.Millisecond}},
		Commands: []control.CommandUse{{Name: "TPM2_Sign", Count: 5, Ran: 250 * time.Millisecond}},
		Denied:   []control.Denial{{Command: "TPM2_Clear", Rule: "TPM2_Clear", Count: 1}},
	}
	lines = []string{
		`tpmkeyd_chips 2.0`,
		`tpmkeyd_commands_total{command="TPM2_Sign"} 5.0`,
		`tpmkeyd_command_turn_seconds_total{command="TPM2_Sign"} 0.25`,
		`tpmkeyd_denied_total{command="TPM2_Clear",rule="TPM2_Clear"} 1.0`,
		`tpmkeyd_user_commands_total{uid="1000"} 5.0`,
		`tpmkeyd_user_denied_total{uid="1000"} 1.0`,
		`tpmkeyd_user_wait_seconds_total{uid="1000"} 1.5`,
		`tpmkeyd_user_turn_seconds_total{uid="1000"} 0.25`,
		`tpmkeyd_user_clients{uid="1000"} 3.0`,
		`tpmkeyd_user_queue{uid="1000"} 2.0`,
	}
)

// listenAt makes a socket until the test ends.
func listenAt(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// newTpmkeyd stands for the real one, until the test ends.
func newTpmkeyd(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control.sock")
	l := listenAt(t, path)
	go func() {
		for conn, err := l.AcceptUnix(); err == nil; conn, err = l.AcceptUnix() {
			var q control.Request
			if err := control.Read(conn, &q); err != nil || !q.Usage {
				t.Errorf("asked for %+v, %v", q, err)
			}
			control.Write(conn, control.Answer{Usage: &told}, -1)
			conn.Close()
		}
	}()
	return path
}

// want checks that a text is that of the metrics.
func want(t *testing.T, text string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics do not say %s:\n%s", line, text)
		}
	}
	if !strings.Contains(text, "\nprocess_resident_memory_bytes ") || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("nothing of the process, or no end:\n%s", text)
	}
}

// started is a service that systemd has handed a socket.
type started struct {
	*exec.Cmd
	path  string // of the socket
	wrote *bytes.Buffer
}

func start(t *testing.T, args string, mode os.FileMode) started {
	t.Helper()
	s := started{exec.Command("sh", "-c", "LISTEN_PID=$$ exec "+os.Args[0]), filepath.Join(t.TempDir(), "metrics.sock"), &bytes.Buffer{}}
	file, err := listenAt(t, s.path).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := os.Chmod(s.path, mode); err != nil {
		t.Fatal(err)
	}
	s.Env, s.ExtraFiles, s.Stderr = append(os.Environ(), metricsTest+"="+args, "LISTEN_FDS=1"), []*os.File{file}, s.wrote
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill(); s.Wait() })
	return s
}

// get reads metrics as a monitoring system does.
func (s started) get(t *testing.T) (status int, text string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", s.path) }}}
	defer c.CloseIdleConnections()
	request, err := http.NewRequest("GET", "http://tpmkeyd/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text")
	response, err := c.Do(request)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.wrote)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// It prints what tpmkeyd says, or tells a monitoring system at the socket that systemd has made.
func TestMetrics(t *testing.T) {
	path := newTpmkeyd(t)
	var out, problems bytes.Buffer
	if code := command([]string{"-control", path}, &out, &problems); code != 0 {
		t.Errorf("exit code %d: %s", code, &problems)
	}
	want(t, out.String())
	s := start(t, "-control "+path, 0o600)
	for range 2 {
		if status, text := s.get(t); status != http.StatusOK {
			t.Errorf("status %d: %s", status, text)
		} else {
			want(t, text)
		}
	}
}

// Without a tpmkeyd there is an error and no metrics, and the next time may be better.
func TestNoTpmkeyd(t *testing.T) {
	var out, problems bytes.Buffer
	if code := command([]string{"-control", "/nowhere"}, &out, &problems); code != exitFailed || out.Len() > 0 || !strings.Contains(problems.String(), "tpmkeyd-metrics: error: ask tpmkeyd: ") || !strings.Contains(problems.String(), "; tpmkeyd does not run there: sudo systemctl start tpmkeyd") {
		t.Errorf("exit code %d: %s%s", code, &out, &problems)
	}
	s := start(t, "-control /nowhere", 0o600)
	if status, text := s.get(t); status != http.StatusServiceUnavailable || !strings.Contains(text, "no such file") {
		t.Errorf("status %d: %s", status, text)
	}
}

// It leaves when nobody asks, and the socket stays.
func TestIdle(t *testing.T) {
	s := start(t, "-control "+newTpmkeyd(t)+" -idle 10ms", 0o600)
	if err := s.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.wrote)
	}
	if _, err := os.Stat(s.path); err != nil {
		t.Error(err)
	}
}

// Only root reads metrics, whatever the mode of their socket.
func TestMetricsAreRoots(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	tpmtest.Need(t, "nc")
	s := start(t, "-control "+newTpmkeyd(t), 0o666)
	for dir := filepath.Dir(s.path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.get(t) // it is there
	for uid, hears := range map[uint32]bool{0: true, 1000: false} {
		c := exec.Command("nc", "-NU", s.path)
		c.Stdin, c.Dir, c.SysProcAttr = strings.NewReader("GET /metrics HTTP/1.0\r\n\r\n"), "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if output, _ := c.CombinedOutput(); len(output) > 0 != hears { // that somebody cannot connect at all would be said, too
			t.Errorf("uid %d hears %q", uid, output)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-h"}, 0, usage},
		{[]string{"-version"}, 0, "tpmkeyd-metrics " + version.Number + "\n"},
		{[]string{"-listen", "x"}, exitUsage, "flag provided but not defined: -listen; run: tpmkeyd-metrics -h"},
		{[]string{"-idle", "0s"}, exitUsage, "-idle: more than 0s"},
		{[]string{"now"}, exitUsage, `it takes flags only, not "now"`},
	} {
		var wrote bytes.Buffer
		if code := command(row.args, &wrote, &wrote); code != row.code || !strings.Contains(wrote.String(), row.says) {
			t.Errorf("%q: exit code %d, %s", row.args, code, &wrote)
		}
	}
	t.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	t.Setenv("LISTEN_FDS", "2")
	var wrote bytes.Buffer
	if code := command(nil, &wrote, &wrote); code != exitFailed || !strings.Contains(wrote.String(), "systemd hands over 2 sockets, not one") {
		t.Errorf("exit code %d, %s", code, &wrote)
	}
}
