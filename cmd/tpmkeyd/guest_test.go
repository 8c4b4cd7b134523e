package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/control"
)

const unknownOption = 0x7FFF

// beforeLinux616 has a server find that the kernel cannot refuse descriptors.
func beforeLinux616(s *server) { s.passRights = unknownOption }

// canRefuse tells whether the kernel here can.
func canRefuse(t *testing.T) bool {
	t.Helper()
	ours, theirs := socketPair(t)
	defer ours.Close()
	defer theirs.Close()
	taken, err := socketOption(ours.(*net.UnixConn), func(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS) })
	if err != nil && !errors.Is(err, unix.ENOPROTOOPT) || err == nil && taken != 1 {
		t.Fatalf("SO_PASSRIGHTS: %d, %v", taken, err)
	}
	return err == nil
}

// Only a connection that never took a descriptor is read without looking for some.
func TestNewGuest(t *testing.T) {
	for _, row := range []struct {
		name         string
		option       int
		before, late bool // when the listener refuses
		want         bool
	}{
		{"refused from the start", unix.SO_PASSRIGHTS, true, false, canRefuse(t)},
		{"refused too late", unix.SO_PASSRIGHTS, false, true, false},
		{"never refused", unix.SO_PASSRIGHTS, false, false, false},
		{"unknown to the kernel", unknownOption, true, true, false},
	} {
		s := &server{passRights: row.option}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(shortDir(t), "s"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if row.before {
			s.refuseDescriptors(l)
		}
		theirs, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		if row.late {
			s.refuseDescriptors(l)
		}
		ours, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		if got := s.newGuest(ours).clean; got != row.want {
			t.Errorf("%s: clean is %v, want %v", row.name, got, row.want)
		}
	}
}

// Where the kernel can, it refuses descriptors to whoever sends them, who goes on as if he had not tried; elsewhere they are looked for and end the connection.
func TestRefusedDescriptor(t *testing.T) {
	s := serveWith(t, "")
	random(t, dial(t, s.path)) // from now on the listener refuses
	for _, row := range []struct {
		name    string
		connect func(t *testing.T) net.Conn
		flags   int
	}{
		{"socket", s.connected, 0},
		{"socket, out of band", s.connected, unix.MSG_OOB},
		{"descriptor", s.granted, 0},
		{"descriptor, out of band", s.granted, unix.MSG_OOB},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn := row.connect(t)
			defer conn.Close()
			refused := sendDescriptor(t, conn, row.flags)
			if refused != canRefuse(t) {
				t.Errorf("refused is %v", refused)
			}
			if !refused {
				awaitEnd(t, conn)
				return
			}
			mustWrite(t, conn, getRandom(8))
			wantRandom(t, mustRead(t, conn, 20), 8)
		})
	}
}

func (s *served) connected(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *served) granted(t *testing.T) net.Conn {
	t.Helper()
	file, _, err := control.Ask(s.socket("control.sock"), control.Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// sendDescriptor sends one along with a byte, and reports whether the kernel refuses it.
func sendDescriptor(t *testing.T, conn net.Conn, flags int) (refused bool) {
	t.Helper()
	_, err := socketOption(conn.(*net.UnixConn), func(fd int) (any, error) {
		return nil, unix.Sendmsg(fd, []byte("x"), unix.UnixRights(int(os.Stdin.Fd())), nil, flags)
	})
	if err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	return errors.Is(err, unix.EPERM)
}
