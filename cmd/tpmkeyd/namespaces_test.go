package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A served is a running server with namespaces, and the file that they are in.
type served struct {
	*server
	dir, path string // of the sockets, and of the one for everybody
	log       *journal
}

// serveWith serves an emulator with namespaces until the test ends. %s in them is the directory of the sockets.
func serveWith(t *testing.T, text string) *served {
	t.Helper()
	spec := tpmtest.SWTPM(t)
	config, err := device.Chip(spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	s := &served{dir: dir, path: filepath.Join(dir, "tpms.sock"), log: &journal{}}
	rules := everybody()
	rules.path = filepath.Join(dir, "namespaces.toml")
	s.server = newServer(&chips{named: []rm.Config{config}}, rules, log.New(s.log, "", 0))
	s.doors.everybody = s.path
	s.write(t, text)
	if err := rules.reload(s.server); err != nil {
		t.Fatal(err)
	}
	s.listenForRoot(t)
	s.run(t, spec)
	return s
}

func (s *served) run(t *testing.T, spec string) {
	t.Helper()
	listener, err := listen(s.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		tpmtest.NoLeaks(t, spec)
		if sockets, _ := filepath.Glob(filepath.Join(s.dir, "*.sock*")); len(sockets) > 0 {
			t.Errorf("left behind: %v", sockets)
		}
	})
}

func (s *served) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.rules.path, []byte(strings.ReplaceAll(text, "%s", s.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *served) socket(name string) string { return filepath.Join(s.dir, name) }

// readPCRs is TPM2_PCR_Read of none.
var readPCRs = wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCPCRRead)).Uint32(0).Bytes()

// filterOf tells by what is answered which filter a caller has: use, rsa or all.
func filterOf(ask func(command []byte) []byte) string {
	const denied = 0x000B0143
	code := func(command []byte) uint32 {
		h, ok := wire.ParseHeader(ask(command))
		if !ok {
			return 0xFFFFFFFF
		}
		return h.Code
	}
	switch pcrs := code(readPCRs); {
	case pcrs == 0xFFFFFFFF:
		return "refused"
	case pcrs != denied:
		return "all"
	case code(makeKey()) != denied:
		return "rsa"
	}
	return "use"
}

// makeKey is a TPM2_Create below the storage root key, which need not be there.
func makeKey() (command []byte) {
	tpm2.Create{ParentHandle: tpm2.AuthHandle{Handle: 0x81000001, Name: tpm2.TPM2BName{Buffer: make([]byte, 34)}, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(tpmtest.RSATemplate())}.
		Execute(tpmtest.Func(func(c []byte) ([]byte, error) {
			command = bytes.Clone(c)
			return nil, os.ErrClosed
		}))
	return command
}

// as runs a client with other credentials: what a command is answered with on a socket.
func as(t *testing.T, who *syscall.Credential, path string) func(command []byte) []byte {
	t.Helper()
	tpmtest.Need(t, "nc")
	return func(command []byte) []byte {
		nc := exec.Command("nc", "-N", "-U", path)
		nc.Stdin = bytes.NewReader(command)
		nc.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		response, _ := nc.Output() // one that is not let in hears nothing
		return response
	}
}

// Who gets which filter: by uid, by group, also a supplementary one, by cgroup and by socket.
func TestNamespaces(t *testing.T) {
	tpmtest.Root(t, "to be other users")
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	s := serveWith(t, fmt.Sprintf(`
[[namespace]]
name = "own"
socket = "%%s/own.sock"
uid = [1001]
filter = "all"

[[namespace]]
name = "elsewhere"
uid = ["1001-1003"]
cgroup = ["/no/such/group"]
filter = "all"

[[namespace]]
name = "here"
uid = [1002]
cgroup = [%q]
filter = "use"

[[namespace]]
name = "team"
gid = [777]
filter = "all"
`, cgroupPaths(string(own))[0]))
	for _, row := range []struct {
		name   string
		who    syscall.Credential
		socket string
		want   string
	}{
		{"nobody special", syscall.Credential{Uid: 1001, Gid: 1001}, "tpms.sock", "rsa"},
		{"by cgroup", syscall.Credential{Uid: 1002, Gid: 777}, "tpms.sock", "use"},
		{"by group", syscall.Credential{Uid: 1003, Gid: 777}, "tpms.sock", "all"},
		{"by supplementary group", syscall.Credential{Uid: 1003, Gid: 5, Groups: []uint32{6, 777}}, "tpms.sock", "all"},
		{"by socket", syscall.Credential{Uid: 1001, Gid: 777}, "own.sock", "all"},
		{"by a socket that is not for him", syscall.Credential{Uid: 1003, Gid: 777}, "own.sock", "refused"},
	} {
		if got := filterOf(as(t, &row.who, s.socket(row.socket))); got != row.want {
			t.Errorf("%s: filter %s, want %s", row.name, got, row.want)
		}
	}
	s.log.await(t, "refused uid=1003 ")
	s.log.await(t, "own.sock: this socket belongs to a namespace that he is not in")
	s.log.await(t, "denied uid=1002 ")
	s.log.await(t, ` namespace=here program="/`)
}

// turncoatPath tells a test binary that is started again to connect to a socket as one user and to be another one by the time it is let in.
const turncoatPath = "TPMKEY_TEST_TURNCOAT"

func init() {
	if path := os.Getenv(turncoatPath); path != "" {
		if err := turncoat(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// turncoat connects with the effective uid 65534 and is root again afterwards, as somebody is who runs a setuid program. Initializers run on the main thread, whose
// credentials /proc shows.
func turncoat(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		uid uintptr
		do  func() error
	}{
		{65534, func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) }},
		{0, func() error { _, err := unix.Write(fd, readPCRs); return err }},
	} {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), step.uid, ^uintptr(0)); errno != 0 {
			return errno
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	response := make([]byte, wire.HeaderSize)
	if _, err := unix.Read(fd, response); err != nil {
		return err
	}
	_, err = os.Stdout.Write(response)
	return err
}

// A process that has become somebody else since it connected is asked for neither its groups nor its name: they are not the caller's. Where they make a difference he is
// not let in.
func TestTurncoat(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	s := serveWith(t, "[[namespace]]\nname = \"others\"\nuid = [1000]\n[[namespace]]\nname = \"team\"\nuid = [\"0-50000\"]\ngid = [777]\nfilter = \"all\"\n")
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), turncoatPath+"="+s.path)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{777}}}
	response, err := c.Output()
	if err != nil || !bytes.Equal(response, wire.ErrorResponse(filter.RCDenied)) {
		t.Errorf("answered with %x, %v", response, err)
	}
	s.log.await(t, "groups of uid=65534 ")
	s.log.await(t, errOtherProcess.Error())
	s.log.await(t, "denied uid=65534 pid=")
	if strings.Contains(s.log.String(), "program=") {
		t.Errorf("the log names a program that is somebody else's:\n%s", s.log)
	}
}

// hup has the rules read again, with another text of them, and waits until the log says something.
func (s *served) hup(t *testing.T, text, said string) {
	t.Helper()
	s.write(t, text)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.log.await(t, said)
}

// The filter of everybody is read again, too, where it is a file; what is wrong in either file changes nothing, and neither does what is right in the other then.
func TestReloadFilter(t *testing.T) {
	const one = "[[namespace]]\nname = \"a\"\nsocket = \"%s/a.sock\"\n"
	s := serveWith(t, "")
	s.rules.profile = s.socket("profile")
	defer s.rules.reloadOnSignal(s.server, s.server.log)()
	profile := func(text string) {
		t.Helper()
		if err := os.WriteFile(s.rules.profile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := talk(t, s.path)
	profile("profile mine from use: less\n")
	s.hup(t, "", "SIGHUP: 0 namespaces from "+s.rules.path+", filter mine")
	profile("profile yours from all: more\nallow TPM2_Sing: a mistake\n")
	s.hup(t, one, "SIGHUP: nothing has changed: filter: "+s.rules.profile+`: line 2: "TPM2_Sing" is no TPM command`)
	if _, err := net.Dial("unix", s.socket("a.sock")); err == nil {
		t.Error("the namespaces have changed without the filter")
	}
	profile("profile yours from all: more\n")
	s.hup(t, "[[namespace]]\nname = 7\n", "SIGHUP: nothing has changed: "+s.rules.path+": line 2: ")
	for want, ask := range map[string]func(command []byte) []byte{"use": talk(t, s.path), "rsa": old} {
		if got := filterOf(ask); got != want {
			t.Errorf("after mistakes: filter %s, want %s", got, want)
		}
	}
	s.hup(t, one, "SIGHUP: 1 namespace from "+s.rules.path+", filter yours")
	for _, path := range []string{s.path, s.socket("a.sock")} {
		if got := filterOf(talk(t, path)); got != "all" {
			t.Errorf("%s: filter %s", path, got)
		}
	}
	if err := os.Remove(s.rules.profile); err != nil {
		t.Fatal(err)
	}
	s.hup(t, one, "SIGHUP: nothing has changed: filter: open "+s.rules.profile+": no such file or directory")
}

// The rules change under clients that stay. A mistake changes nothing.
func TestReload(t *testing.T) {
	const first = "[[namespace]]\nname = \"a\"\nsocket = \"%s/a.sock\"\nsocket-mode = \"0600\"\nfilter = \"use\"\n"
	s := serveWith(t, first)
	defer s.rules.reloadOnSignal(s.server, s.server.log)()
	hup := func(text, said string) {
		t.Helper()
		s.hup(t, text, said)
	}
	old := talk(t, s.socket("a.sock"))
	if got := filterOf(old); got != "use" {
		t.Errorf("at first: filter %s", got)
	}
	hup("[[namespace]]\nname = \"a\"\nfilter = \"nothing\"\n", "SIGHUP: nothing has changed: "+s.rules.path+`: line 3: filter: namespace "a": "nothing" is none of the profiles`)
	hup(first+"[[namespace]]\nname = \"b\"\nsocket = \"%s/namespaces.toml\"\n", "a file that is no socket is there; name another path")
	hup(first+"[[namespace]]\nname = \"b\"\nsocket = \"%s/tpms.sock\"\n", "/tpms.sock is the socket for everybody; a namespace needs one of its own")
	if got := filterOf(talk(t, s.socket("a.sock"))); got != "use" {
		t.Errorf("after mistakes: filter %s", got)
	}
	hup("[[namespace]]\nname = \"a\"\nsocket = \"%s/a.sock\"\nsocket-mode = \"0640\"\nsocket-group = \"777\"\nfilter = \"all\"\n[[namespace]]\nname = \"b\"\nsocket = \"%s/b.sock\"\n", "SIGHUP: 2 namespaces from")
	for path, want := range map[string]string{"a.sock": "all", "b.sock": "rsa"} {
		if got := filterOf(talk(t, s.socket(path))); got != want {
			t.Errorf("%s afterwards: filter %s, want %s", path, got, want)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(s.socket("a.sock"), &st); err != nil || st.Mode&0o777 != 0o640 || os.Geteuid() == 0 && st.Gid != 777 {
		t.Errorf("a.sock: mode %o, group %d, %v", st.Mode, st.Gid, err)
	}
	hup("", "SIGHUP: 0 namespaces from "+s.rules.path)
	if _, err := net.Dial("unix", s.socket("b.sock")); err == nil {
		t.Error("a socket that nobody wants is still there")
	}
	if got := filterOf(old); got != "use" {
		t.Errorf("the client of the beginning has the filter %s", got)
	}
}

// unreachable are namespaces of which all but the first and the last give what is not there.
const unreachable = "[[namespace]]\nname = \"near\"\nuid = [7]\nchip = 0\n[[namespace]]\nname = \"far\"\nuid = [8]\nchip = 7\n" +
	"[[namespace]]\nname = \"high\"\nuid = [9]\nlocality = 3\n[[namespace]]\nname = \"plain\"\n"

// Of a namespace that nobody gets into for want of a chip or a locality the log tells at once.
func TestReloadUnreachable(t *testing.T) {
	s := serveWith(t, unreachable)
	for _, want := range []string{`namespace "far", line 5: its callers are refused: there is no chip 7; there are: 0`, `namespace "high", line 9: its callers are refused: locality 3: nothing but 0`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, s.log)
		}
	}
	if got := strings.Count(s.log.String(), "refused"); got != 2 {
		t.Errorf("the log:\n%s", s.log)
	}
}

// talk connects, and gives what commands are answered with.
func talk(t *testing.T, path string) func(command []byte) []byte {
	t.Helper()
	conn, err := device.Open("broker:" + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func(command []byte) []byte {
		response, err := conn.Send(command)
		if err != nil {
			t.Error(err)
		}
		return response
	}
}

// A socket in a directory that others can write could be swapped for a link.
func TestDoorInAnOpenDirectory(t *testing.T) {
	s := serveWith(t, "")
	open := filepath.Join(s.dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(open, "a.sock.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // as others could
		t.Fatal(err)
	}
	s.write(t, "[[namespace]]\nname = \"a\"\nsocket = \"%s/open/a.sock\"\n")
	within(t, "the rules are read", func() { err = s.rules.reload(s.server) })
	if err == nil || !strings.Contains(err.Error(), "others may write to this directory") {
		t.Errorf("reloaded: %v", err)
	}
	os.Remove(lock.Name())
	if entries, err := os.ReadDir(open); err != nil || len(entries) > 0 {
		t.Errorf("left there: %v, %v", entries, err)
	}
}
