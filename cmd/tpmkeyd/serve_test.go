package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A journal is a log that a test can read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) await(t *testing.T, want string) {
	t.Helper()
	for range 500 {
		if strings.Contains(j.String(), want) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the log does not say %q:\n%s", want, j)
}

// start serves an emulator until the test ends, and then looks for what was left on it.
func start(t *testing.T, spec string) (path string, log *journal, stop func()) {
	t.Helper()
	return startGranting(t, spec, everybody())
}

// startGranting is start with other rules, and what else is to be changed before.
func startGranting(t *testing.T, spec string, rules *namespaces, change ...func(*server)) (path string, log *journal, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpmkeyd")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "tpms.sock")
	log, stop = startAt(t, spec, path, rules, change...)
	t.Cleanup(func() {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("left in the socket's directory: %v, %v", entries, err)
		}
		os.RemoveAll(dir)
	})
	t.Cleanup(func() { stop(); tpmtest.NoLeaks(t, spec) })
	return path, log, stop
}

func startAt(t *testing.T, spec, path string, rules *namespaces, change ...func(*server)) (*journal, func()) {
	t.Helper()
	config, err := device.OpenChip(spec)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := newServer(&chips{named: []rm.Config{config}}, rules, log.New(j, "", 0))
	for _, f := range change {
		f(s)
	}
	go func() { ended <- s.serve(ctx, listener) }()
	return j, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func dial(t *testing.T, path string) *device.Device {
	t.Helper()
	d, err := device.Open("broker:" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func random(t *testing.T, d *device.Device) {
	t.Helper()
	if r, err := (tpm2.GetRandom{BytesRequested: 16}).Execute(d); err != nil || len(r.RandomBytes.Buffer) != 16 {
		t.Errorf("random bytes: %+v, %v", r, err)
	}
}

func TestServe(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		path, log, _ := start(t, spec)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
			t.Errorf("the socket: %v, %v", info.Mode(), err)
		}
		a, b := dial(t, path), dial(t, path)
		random(t, a)
		random(t, b)
		if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(a); err == nil {
			t.Error("a client has cleared the TPM")
		}
		log.await(t, "TPM2_Clear: would destroy every other user's keys")
		random(t, a)
	})
}

// What a client may send that is no command. It is sent away, or answered, and nobody else notices.
func TestBadClients(t *testing.T) {
	path, log, _ := start(t, tpmtest.SWTPM(t))
	good := dial(t, path)
	random(t, good)
	for _, row := range []struct {
		name string
		sent []byte
		log  string // of a client that is sent away
	}{
		{"half a header", []byte{0x80, 1, 0}, "half a command"},
		{"half a command", []byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b}, "half a command"},
		{"a huge command", []byte{0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0x7b}, "says it has 4294967295 bytes"},
		{"a tiny command", []byte{0x80, 1, 0, 0, 0, 9, 0, 0, 1, 0x7b}, "says it has 9 bytes"},
		{"text", []byte("GET / HTTP/1.1\r\n\r\n"), "a command that says"},
		{"an unknown command", []byte{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0xfe}, "unknown commands are blocked"},
		{"garbage of the right size", []byte{0xff, 0xff, 0, 0, 0, 10, 0xff, 0xff, 0xff, 0xff}, "the tag is neither"},
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(row.sent); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		conn.(*net.UnixConn).CloseWrite()
		if rest, _ := io.ReadAll(conn); len(rest) > wire.HeaderSize {
			t.Errorf("%s: answered with %x", row.name, rest)
		}
		conn.Close()
		log.await(t, row.log)
		random(t, good)
	}
}

func TestClientVanishesWhileItsCommandRuns(t *testing.T) {
	path, _, stop := start(t, tpmtest.SWTPM(t))
	for range 5 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		create := tpmtest.Func(func(command []byte) ([]byte, error) {
			_, err := conn.Write(command)
			conn.Close()
			return nil, err
		})
		tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.RSASRKTemplate)}.Execute(create)
	}
	random(t, dial(t, path))
	stop() // the cleanup looks for leaks
}

func TestStopUnblocksClients(t *testing.T) {
	path, _, stop := start(t, tpmtest.SWTPM(t))
	d := dial(t, path)
	random(t, d)
	stop()
	if _, err := (tpm2.GetRandom{BytesRequested: 16}).Execute(d); err == nil {
		t.Error("a stopped server has answered")
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	stale, file, taken := filepath.Join(dir, "stale"), filepath.Join(dir, "file"), filepath.Join(dir, "taken")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := listen(taken)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for path, want := range map[string]string{stale: "", file: "no socket", taken: "another server uses it", "/proc/none/sock": "listen: mkdir /proc/none"} {
		l, err := listen(path)
		if err == nil {
			l.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("listen on %s: %v, want %q", path, err, want)
		}
	}
	if kept, err := os.ReadFile(file); err != nil || string(kept) != "kept" {
		t.Errorf("the file in the way: %q, %v", kept, err)
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	now := time.Now()
	written := map[uint32]int{}
	for range 1000 {
		for principal := uint32(1); principal <= 2; principal++ {
			if _, ok := l.allow(principal, now); ok {
				written[principal]++
			}
		}
	}
	for principal := uint32(1); principal <= 2; principal++ {
		if skipped, ok := l.allow(principal, now.Add(time.Second)); written[principal] != 20 || !ok || skipped != 980 {
			t.Errorf("%d of 1000 lines of %d at once, then %v with %d left out", written[principal], principal, ok, skipped)
		}
	}
	if _, ok := l.allow(3, now.Add(time.Second)); !ok {
		t.Error("what somebody else does is hidden")
	}
	all := 0
	for principal := range uint32(10 * mostBuckets) {
		if _, ok := l.allow(principal+4, now.Add(time.Second)); ok {
			all++
		}
	}
	if all > 50 {
		t.Errorf("%d lines of many principals at once", all)
	}
	l.allow(1, now.Add(time.Hour))
	if l.allow(1<<20, now.Add(time.Hour)); len(l.each) > mostBuckets {
		t.Errorf("%d principals are remembered", len(l.each))
	}
}

// everybody gets the default filter.
func everybody() *namespaces {
	return &namespaces{everybody: grant{filter: filter.Default(), chip: anyChip}}
}

func TestConnectionsOfOneUser(t *testing.T) {
	s := newServer(nil, nil, nil)
	for i := range maxConnections + 1 {
		if s.admit(1000, grant{}.mostConnections()) != (i < maxConnections) {
			t.Errorf("connection %d", i)
		}
	}
	if !s.admit(1001, 1) || s.admit(1001, 1) {
		t.Error("another user is kept out, or let in twice")
	}
	s.dismiss(1000)
	if !s.admit(1000, maxConnections) {
		t.Error("a place that was given up is not given out again")
	}
}
