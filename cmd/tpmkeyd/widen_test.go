package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/control"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

// A puppet is this test binary, started again to do with a socket what an attacker would: it gets one as descriptor 3 or connects to one, tries all that is no command,
// and prints which filter it has in the end.
const (
	puppetSocket = "TPMKEY_TEST_PUPPET"       // a path, or fd:3
	puppetForges = "TPMKEY_TEST_PUPPET_FORGE" // the uid that it claims to be, beside every message
	puppetHands  = "TPMKEY_TEST_PUPPET_HANDS" // it hands the connection to descriptor 3 and ends
)

func init() {
	if path := os.Getenv(puppetSocket); path != "" {
		said, err := puppet(path)
		if err != nil {
			said = err.Error()
		}
		fmt.Print(said)
		os.Exit(0)
	}
}

func puppet(path string) (string, error) {
	fd := 3
	if path != "fd:3" {
		var err error
		if fd, err = connectRaw(path); err != nil {
			return "", err
		}
	}
	if os.Getenv(puppetHands) != "" {
		return "", unix.Sendmsg(3, []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	var rights []byte
	if claimed, err := strconv.Atoi(os.Getenv(puppetForges)); err == nil {
		rights = unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(claimed), Gid: uint32(claimed)})
	}
	if strings.HasSuffix(path, "control.sock") {
		return askRaw(fd, rights)
	}
	ask := func(command []byte) []byte {
		response, _ := exchangeRaw(fd, rights, command)
		return response
	}
	for frame := range device.Frame(20) {
		for _, text := range []string{"", "all", "profile mine from all: everything\n"} {
			if frame != device.FrameSeal { // that would hide what the others do
				ask(frame.Bytes(text))
			}
		}
	}
	return filterOf(ask), nil
}

func connectRaw(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	return fd, err
}

func exchangeRaw(fd int, rights, command []byte) ([]byte, error) {
	if err := unix.Sendmsg(fd, command, rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return nil, err
	}
	response := make([]byte, wire.MaxCommand)
	n, err := unix.Read(fd, response)
	return response[:max(n, 0)], err
}

// askRaw asks the control socket for everything, and gives what it says.
func askRaw(fd int, rights []byte) (string, error) {
	text := `{"filter":"all"}`
	message := append([]byte{0, 0, 0, byte(len(text))}, text...)
	answer, err := exchangeRaw(fd, rights, message)
	return string(answer), err
}

// play runs a puppet, and gives what it says.
func play(t *testing.T, binary string, attr *syscall.SysProcAttr, file *os.File, env ...string) string {
	t.Helper()
	c := exec.Command(binary)
	c.Env, c.SysProcAttr = append(os.Environ(), env...), attr
	if file != nil {
		c.ExtraFiles = []*os.File{file}
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	said, err := c.Output()
	if err != nil {
		t.Errorf("%v: %v\n%s", env, err, &stderr)
	}
	return string(said)
}

// worldBinary is a copy of this test binary that anybody may run, with a mode of its own.
func worldBinary(t *testing.T, dir string, mode uint32) string {
	t.Helper()
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	path := filepath.Join(dir, fmt.Sprintf("puppet-%o", mode))
	copied, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(copied, self)
	if err := errors.Join(err, copied.Close(), unix.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// roots are namespaces that root likes, and nobody else gets.
const roots = "[[namespace]]\nname = \"root\"\nuid = [0]\nfilter = \"all\"\n[[namespace]]\nname = \"users\"\nuid = [\"1000-2000\"]\nfilter = \"use\"\n"

// Every way over sockets in which somebody could try to get more than he was given.
func TestWiden(t *testing.T) {
	tpmtest.Root(t, "to be other users")
	s := serveWith(t, roots)
	user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	plain, setuid := worldBinary(t, s.dir, 0o755), worldBinary(t, s.dir, 0o4755)
	controlSocket := s.socket("control.sock")
	if err := os.Chmod(controlSocket, 0o666); err != nil { // as if that were all that protects it
		t.Fatal(err)
	}
	main, asking, inherited := puppetSocket+"="+s.path, puppetSocket+"="+controlSocket, puppetSocket+"=fd:3"
	for _, row := range []struct {
		name   string
		binary string
		attr   *syscall.SysProcAttr
		file   *os.File
		env    []string
		want   string
	}{
		{"root, to see that it makes a difference", plain, nil, nil, []string{main}, "all"},
		{"a setuid program, to see that it is one", setuid, user, nil, []string{main}, "all"},
		{"a user", plain, user, nil, []string{main}, "use"},
		{"a descriptor that root has made, at a user", plain, user, s.descriptor(t, "use"), []string{inherited}, "use"},
		{"a descriptor of a user's, passed to root", plain, nil, s.passed(t, plain, user), []string{inherited}, "use"},
		{"a descriptor, inherited by a setuid program", setuid, user, s.descriptor(t, "use"), []string{inherited}, "use"},
		{"a connection of a user's, inherited by a setuid program", setuid, user, s.passed(t, plain, user), []string{inherited}, "use"},
		{"a descriptor that was narrowed, at root", plain, nil, narrowed(t, s.descriptor(t, "all")), []string{inherited}, "use"},
		{"root of a user namespace", plain, userNamespace(), nil, []string{main}, "use"},
		{"root of a user namespace, with a descriptor", plain, userNamespace(), s.descriptor(t, "use"), []string{inherited}, "use"},
		{"root of a user namespace, at the control socket", plain, userNamespace(), nil, []string{asking}, errNotOurs.Error()},
		{"a user at the control socket", plain, user, nil, []string{asking}, errNotOurs.Error()},
		{"a user who claims to be root", plain, user, nil, []string{main, puppetForges + "=0"}, "refused"},
		{"root of a user namespace who claims to be root", plain, userNamespace(), nil, []string{main, puppetForges + "=0"}, "use"},
		{"root of a user namespace who claims to be root, at the control socket", plain, userNamespace(), nil, []string{asking, puppetForges + "=0"}, errNotOurs.Error()},
		{"root who claims to be root beside a user's commands", plain, nil, s.passed(t, plain, user), []string{inherited, puppetForges + "=0"}, "use"},
	} {
		if said := play(t, row.binary, row.attr, row.file, row.env...); said != row.want && !strings.Contains(said, `"error":"`+row.want+`"`) {
			t.Errorf("%s: %q, want %q", row.name, said, row.want)
		}
	}
}

// userNamespace makes a puppet root, who is user 1000 to everybody else.
func userNamespace() *syscall.SysProcAttr {
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1000, Size: 1}}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one, Credential: &syscall.Credential{NoSetGroups: true}}
}

// descriptor asks for one with a filter, in the name of a user.
func (s *served) descriptor(t *testing.T, profile string) *os.File {
	t.Helper()
	file, _, err := control.Ask(s.socket("control.sock"), control.Request{Filter: profile, UID: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// narrowed is a descriptor whose holder has narrowed it.
func narrowed(t *testing.T, file *os.File) *os.File {
	t.Helper()
	if err := open(t, file).Narrow("use"); err != nil {
		t.Fatal(err)
	}
	return file
}

// passed is a connection that somebody else has made and passed on (SCM_RIGHTS). He has ended since.
func (s *served) passed(t *testing.T, binary string, attr *syscall.SysProcAttr) *os.File {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	play(t, binary, attr, theirs, puppetSocket+"="+s.path, puppetHands+"=1")
	theirs.Close()
	return receive(t, fds[0])
}

func receive(t *testing.T, fd int) *os.File {
	t.Helper()
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	got, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(got[0]), "passed")
	t.Cleanup(func() { file.Close() })
	return file
}

// A caller whose process has ended before he was let in is in no group that has to be looked for, and in no cgroup: his pid may be anybody's.
func TestEndedBeforeLetIn(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	s := &served{dir: openDir(t), log: &journal{}}
	file, conn := s.connectAndEnd(t)
	defer file.Close()
	defer conn.Close()
	who, err := callerAt(conn, s.path)
	if err != nil || who.uid != 1000 {
		t.Fatalf("%+v, %v", who, err)
	}
	groups, err1 := who.process.groups()
	cgroups, err2 := who.process.cgroups()
	if err1 == nil || err2 == nil || len(groups)+len(cgroups) > 0 {
		t.Errorf("groups %v, %v; cgroups %v, %v", groups, err1, cgroups, err2)
	}
}

// connectAndEnd is a connection of user 1000 and group 777, whose process has ended when it is accepted: both ends of it.
func (s *served) connectAndEnd(t *testing.T) (*os.File, *net.UnixConn) {
	t.Helper()
	other := &served{dir: s.dir, path: s.socket("other.sock")}
	l, err := listen(other.path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	who := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000, Groups: []uint32{777}}}
	file := other.passed(t, worldBinary(t, s.dir, 0o755), who)
	l.SetDeadline(time.Now().Add(time.Minute))
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	return file, conn
}

// A process that ends, or becomes another user's, before it is looked at does not get round the namespace that it is in, which gives less than others get.
func TestHiddenCaller(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	for what, asks := range map[string]string{"cgroup": `cgroup = ["/"]`, "group": `gid = [777]`} {
		s := serveWith(t, "[[namespace]]\nname = \"less\"\nuid = [1000]\n"+asks+"\nfilter = \"use\"\n")
		gone, accepted := s.connectAndEnd(t)
		defer gone.Close()
		s.clients.Go(func() { s.converse(accepted, s.path) })
		if got := filterOf(func(command []byte) []byte {
			response, _ := exchangeRaw(int(gone.Fd()), nil, command)
			return response
		}); got != "refused" {
			t.Errorf("who hides his %s has the filter %s", what, got)
		}
		s.log.await(t, errHidden.Error())
	}
}

func asUser(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}
