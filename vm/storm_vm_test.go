//go:build vm

package vm

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// lingering is an act: connects many times to a socket and sends, after bytes that are no command, descriptors whose last close waits as long as this process lives.
func lingering(args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	for range 40 {
		if err == nil {
			err = leaveLingering(args[0], l)
		}
	}
	fmt.Println(err)
	os.Stdin.Read(make([]byte, 1))
}

func leaveLingering(path string, l net.Listener) error {
	var fds [3]int // what lingers, its other side, and the connection
	var err error
	if fds[0], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		return err
	}
	if err := unix.Connect(fds[0], &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if _, err := l.Accept(); err != nil { // and reads nothing
		return err
	}
	if err := unix.SetsockoptLinger(fds[0], unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}); err != nil {
		return err
	}
	unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1) // the least there is
	unix.SetNonblock(fds[0], true)
	for err == nil {
		_, err = unix.Write(fds[0], make([]byte, 1<<16))
	}
	if fds[2], err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); err != nil {
		return err
	}
	if err := unix.Connect(fds[2], &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	sent := unix.Sendmsg(fds[2], getRandom(), unix.UnixRights(fds[0]), nil, 0)
	go unix.Close(fds[0]) // waits where the other side has let go of it before
	return sent
}

// crowd is an act: has many threads wait for one command of a node, and tells what became of them.
func crowd(args []string) {
	fd, err := unix.Open(args[0], unix.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	var threads sync.WaitGroup
	threads.Go(func() { unix.Write(fd, getRandom()) })
	os.Stdin.Read(make([]byte, 1)) // the command runs
	said := make(chan string, crowdSize)
	for range cap(said) {
		threads.Go(func() {
			n, err := unix.Read(fd, make([]byte, 100))
			said <- fmt.Sprint(n, err)
		})
	}
	for range cap(said) - mostReaders {
		fmt.Println(<-said)
	}
	threads.Wait()
	for range mostReaders {
		fmt.Println(<-said)
	}
}

const (
	crowdSize   = 100
	mostReaders = 8 // that tpmkeyd lets wait
	refused     = "-1 device or resource busy"
)

func init() { acts["lingering"], acts["crowd"] = lingering, crowd }

// Descriptors that linger, sent along with a command: nobody else waits, and no thread of tpmkeyd's does.
func TestLingeringDescriptors(t *testing.T) {
	p := as(t, user)
	c := p.again("lingering", "/run/tpmkey/tpms.sock")
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1000)
	n, err := out.Read(said)
	if err != nil || string(said[:n]) != "<nil>\n" {
		t.Errorf("the attacker: %q, %v", said[:n], err)
	}
	if text := p.do("tpmkey", "device"); !strings.Contains(text, node) {
		t.Error(text)
	}
	if text, err := p.again("send", node, hex.EncodeToString(getRandom())).CombinedOutput(); err != nil {
		t.Errorf("somebody else: %s, %v", text, err)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", theDaemon.Process.Pid))
	if err != nil || len(threads) > 30 {
		t.Errorf("%d threads, %v", len(threads), err)
	}
	in.Close()
	c.Wait()
}

// A crowd that waits in a read of one descriptor is kept small.
func TestCrowdOfReaders(t *testing.T) {
	chip, path, start := serveSlowChip(t)
	start()
	c := as(t, user).again("crowd", path)
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	await(t, chip.came, "a command")
	in.Close()
	said := map[string]int{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if said[lines.Text()]++; said[refused] == crowdSize-mostReaders {
			chip.go_ <- struct{}{}
			said[refused]++ // once
		}
	}
	c.Wait()
	if said[refused] != crowdSize-mostReaders+1 || said["28 <nil>"] != 1 || said["0 <nil>"] != mostReaders-1 {
		t.Errorf("they were told: %v", said)
	}
}
