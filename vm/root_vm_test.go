//go:build vm

package vm

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/tpms"
)

// An actor opens the node, or is given what another has opened.
type actor struct {
	name      string
	root      bool // as tpmkeyd should see it
	process   syscall.SysProcAttr
	powerless bool // gives its capabilities away first
}

func mapped(host int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: host, Size: 1}}
}

var actors = []actor{
	{name: "root", root: true},
	{name: "uid 1000", process: syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}},
	{name: "root without capabilities", powerless: true},
	{name: "root in a user namespace of root's", process: syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: mapped(0), GidMappings: mapped(0)}},
	{name: "root in a user namespace of uid 1000's", process: syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: mapped(user), GidMappings: mapped(user),
		Credential: &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true}}},
}

// start runs an act with descriptors from number 3 on.
func (a actor) start(what string, files ...*os.File) (string, error) {
	c := exec.Command("/tpmkey/guest")
	c.Env = append(os.Environ(), act+"="+what)
	if a.powerless {
		c.Env = append(c.Env, "GUEST_POWERLESS=1")
	}
	process := a.process
	c.SysProcAttr, c.ExtraFiles = &process, files
	out, err := c.CombinedOutput()
	return string(out), err
}

// bePowerless gives the capabilities of this thread away, to which the program stays.
func bePowerless() {
	if os.Getenv("GUEST_POWERLESS") == "" {
		return
	}
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		panic(err)
	}
}

// openAndPass is an act: opens the node and sends the descriptor along on the socket that is descriptor 3.
func openAndPass([]string) {
	bePowerless()
	c, err := openNode(node)
	if err == nil {
		err = unix.Sendmsg(3, []byte{1}, unix.UnixRights(int(c)), nil, 0)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// widenAll is an act: tries each root-only call on the descriptors from 3 on, and prints a line for each.
func widenAll([]string) {
	bePowerless()
	for fd := 3; ; fd++ {
		if _, err := tpms.Query(fd); err != nil {
			return
		}
		for _, err := range []error{tpms.SetFilter(fd, "all"), tpms.SetChip(fd, 0), tpms.SetLocality(fd, 0)} {
			fmt.Printf("%v ", err == nil)
		}
		fmt.Println()
	}
}

// useNarrowed is an act: tells what a descriptor that was passed on lets through, and narrows it.
func useNarrowed([]string) {
	out := ""
	for _, code := range []string{"80010000000a00000181", "80010000000c0000017b0008"} { // ReadClock, GetRandom
		var command []byte
		fmt.Sscanf(code, "%x", &command)
		response, err := chardev(3).Send(command)
		out += fmt.Sprintf("%v ", err == nil && string(response[6:10]) == "\x00\x00\x00\x00")
		if err := tpms.Narrow(3, "rsa"); err != nil {
			out += err.Error()
		}
	}
	fmt.Print(out)
}

func init() {
	acts["open and pass"] = openAndPass
	acts["widen"] = widenAll
	acts["use"] = useNarrowed
}

// opened gives a descriptor that an actor has opened.
func (a actor) opened(t *testing.T) *os.File {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	out, err := a.start("open and pass", theirs)
	theirs.Close()
	if err != nil {
		t.Fatalf("%s cannot open the node: %v: %s", a.name, err, out)
	}
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), node)
	t.Cleanup(func() { f.Close() })
	return f
}

// Whoever opened it, and whoever calls: only where both are root is anything widened. That goes for descriptors that were passed by a socket or inherited, which a
// setuid program has from its caller.
func TestRootOnly(t *testing.T) {
	for _, caller := range actors {
		var files []*os.File
		for _, opener := range actors {
			files = append(files, opener.opened(t))
		}
		out, err := caller.start("widen", files...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if err != nil || len(lines) != len(actors) {
			t.Fatalf("%s: %v: %s", caller.name, err, out)
		}
		for i, opener := range actors {
			want := strings.TrimSpace(strings.Repeat(fmt.Sprint(opener.root && caller.root)+" ", 3))
			if got := strings.TrimSpace(lines[i]); got != want {
				t.Errorf("opened by %s, called by %s: %s, want %s", opener.name, caller.name, got, want)
			}
			filter := map[bool]string{true: "all", false: "rsa"}[opener.root && caller.root]
			if s, err := tpms.Query(int(files[i].Fd())); err != nil || s.Filter != filter {
				t.Errorf("opened by %s, called by %s: it is %+v, %v", opener.name, caller.name, s, err)
			}
		}
	}
}

// Root opens, widens and passes on: the holder has what root left it at, narrows it, and can never have that back; nor can root who seals it.
func TestPassing(t *testing.T) {
	root, holder := actors[0], actors[1]
	f := root.opened(t)
	if out, err := root.start("widen", f); err != nil || out != "true true true \n" {
		t.Fatal(out, err)
	}
	if out, err := holder.start("use", f); err != nil || out != "true true " {
		t.Errorf("what root widened, used and then narrowed: %s, %v", out, err)
	}
	if out, err := holder.start("use", f); err != nil || out != "false true " {
		t.Errorf("used again: %s, %v", out, err)
	}
	if out, err := holder.start("widen", f); err != nil || out != "false false false \n" {
		t.Errorf("its holder widens it: %s, %v", out, err)
	}
	if s, err := tpms.Query(int(f.Fd())); err != nil || !strings.HasPrefix(s.Filter, "all narrowed by rsa") {
		t.Errorf("it is %+v, %v", s, err)
	}
	if err := tpms.Seal(int(f.Fd())); err != nil {
		t.Error(err)
	}
	if out, err := root.start("widen", f); err != nil || out != "false false false \n" {
		t.Errorf("root widens what is sealed: %s, %v", out, err)
	}
}
