package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/control"
	"tpmkey.example/rm/device"
)

// listenForRoot adds a control socket to a server that does not run yet.
func (s *served) listenForRoot(t *testing.T) {
	t.Helper()
	l, err := listenFor(s.socket("control.sock"), controlMode)
	if err != nil {
		t.Fatal(err)
	}
	s.asking = l
}

// open opens a descriptor as a program does that got it.
func open(t *testing.T, file *os.File) *device.Device {
	t.Helper()
	t.Setenv("TPMKEY_DEVICE", "")
	d, err := device.Open("fd:" + itoa(int(file.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); file.Close() })
	return d
}

// What root may ask for, what he gets, and what the answer to a mistake is.
func TestDescriptors(t *testing.T) {
	s := serveWith(t, "")
	zero, one, none := 0, 1, -1
	for _, row := range []struct {
		name    string
		q       control.Request
		want    string // filter
		refused string // why
	}{
		{"as everybody", control.Request{UID: 1000}, "rsa", ""},
		{"a profile", control.Request{Filter: "use", Chip: &zero, UID: 1000}, "use", ""},
		{"everything", control.Request{Filter: "all", Seal: true}, "all", ""},
		{"a text", control.Request{Profile: "profile mine from use: less\n"}, "use", ""},
		{"no profile", control.Request{Filter: "rsq"}, "", `"rsq" is none of the profiles`},
		{"no text", control.Request{Profile: "deny everything"}, "", "line 1"},
		{"two filters", control.Request{Filter: "use", Profile: "profile mine from use: less\n"}, "", "by name or by its text, not both"},
		{"another chip", control.Request{Chip: &one}, "", "there is no chip 1; there are: 0"},
		{"a negative chip", control.Request{Chip: &none}, "", "chip -1: chips are numbered from 0"},
		{"a locality", control.Request{Locality: 3}, "", "locality 3: nothing but 0 reaches this chip"},
	} {
		file, a, err := control.Ask(s.socket("control.sock"), row.q)
		switch {
		case row.refused != "" && (err == nil || !strings.Contains(err.Error(), row.refused)):
			t.Errorf("%s: %v, want %q", row.name, err, row.refused)
		case row.refused == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case err == nil:
			if got := filterOf(sender(t, open(t, file))); got != row.want || a.Filter == "" {
				t.Errorf("%s: filter %s (%s), want %s", row.name, got, a.Filter, row.want)
			}
		}
	}
}

func sender(t *testing.T, d *device.Device) func(command []byte) []byte {
	return func(command []byte) []byte {
		response, err := d.Send(command)
		if err != nil {
			t.Error(err)
		}
		return response
	}
}

// Whoever has a way to the TPM narrows it, and nobody takes that back.
func TestFrames(t *testing.T) {
	s := serveWith(t, "")
	file, _, err := control.Ask(s.socket("control.sock"), control.Request{Filter: "all"})
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, file)
	for _, step := range []struct {
		name    string
		do      func() error
		refused string
		filter  string // afterwards
	}{
		{"narrow", func() error { return d.Narrow("rsa") }, "", "rsa"},
		{"narrow by more", func() error { return d.Narrow("all") }, "", "rsa"},
		{"narrow by nothing", func() error { return d.Narrow("rsq") }, `"rsq" is no profile that tpmkeyd knows`, "rsa"},
		{"narrow by too much", func() error { return d.Narrow(strings.Repeat("x", 5000)) }, "a profile of 5000 bytes; it must fit", "rsa"},
		{"narrow by a text", func() error { return d.Narrow("profile mine from use: less\n") }, "", "use"},
		{"seal", d.Seal, "", "use"},
		{"narrow what is sealed", func() error { return d.Narrow("use") }, "the filter is sealed", "use"},
	} {
		err := step.do()
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Errorf("%s: %v, want %q", step.name, err, step.refused)
		}
		if got := filterOf(sender(t, d)); got != step.filter {
			t.Errorf("after %s: filter %s, want %s", step.name, got, step.filter)
		}
	}
}

// Requests that mean nothing are answered or dropped, and nobody is hurt.
func TestBadRequests(t *testing.T) {
	s := serveWith(t, "")
	long := binary.BigEndian.AppendUint32(nil, control.MaxSize+1)
	framed := func(text string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	for _, row := range []struct {
		name string
		sent []byte
		want string // in the answer
	}{
		{"nothing", nil, ""},
		{"half a length", []byte{0, 0}, "unexpected EOF"},
		{"too much", long, "the longest has"},
		{"less than it says", long[:3:3], "unexpected EOF"},
		{"no JSON", framed("give me root"), "invalid character"},
		{"an unknown field", framed(`{"caps":"all"}`), "unknown field"},
		{"a negative user", framed(`{"uid":-1}`), "cannot unmarshal"},
	} {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.socket("control.sock")})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		mustWrite(t, conn, row.sent)
		conn.CloseWrite()
		answer, err := io.ReadAll(conn)
		if err != nil || !bytes.Contains(answer, []byte(row.want)) || (len(answer) == 0) != (row.want == "") {
			t.Errorf("%s: %q, %v, want %q", row.name, answer, err, row.want)
		}
		conn.Close()
	}
}

// A descriptor that nobody holds any more ends its client.
func TestDroppedDescriptor(t *testing.T) {
	s := serveWith(t, "")
	for range 2 * maxConnections {
		file, _, err := control.Ask(s.socket("control.sock"), control.Request{UID: 1000})
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		awaitClients(t, s.server, 1000, 0)
	}
}

// awaitClients waits until a principal has so many.
func awaitClients(t *testing.T, s *server, principal uint32, n int) {
	t.Helper()
	for range 1000 {
		s.mu.Lock()
		have := s.count[principal]
		s.mu.Unlock()
		if have == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("user %d does not come to %d clients", principal, n)
}

func TestControlSocketIsRoots(t *testing.T) {
	s := serveWith(t, "")
	info, err := os.Stat(s.socket("control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if got := (sockets{everybody: "/run/x/tpms.sock"}).controlPath(); got != filepath.Join("/run/x", "control.sock") {
		t.Errorf("beside the socket: %s", got)
	}
	var st unix.Stat_t
	if err := unix.Stat(s.path, &st); err != nil || st.Mode&0o777 != 0o666 {
		t.Errorf("the socket for everybody: %o, %v", st.Mode, err)
	}
}
