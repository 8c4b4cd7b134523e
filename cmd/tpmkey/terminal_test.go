package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal that a test sits at.
type terminal struct {
	master, slave *os.File
	mu            sync.Mutex
	shown         bytes.Buffer
	closed        chan struct{}
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx") // non-blocking, so that closing ends a read
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tty := &terminal{master: master, slave: slave, closed: make(chan struct{})}
	go tty.read()
	t.Cleanup(tty.hangUp)
	return tty
}

func (tty *terminal) read() {
	defer close(tty.closed)
	b := make([]byte, 256)
	for {
		n, err := tty.master.Read(b)
		tty.mu.Lock()
		tty.shown.Write(b[:n])
		tty.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (tty *terminal) text() string {
	tty.mu.Lock()
	defer tty.mu.Unlock()
	return tty.shown.String()
}

// screen is what a person sees in the end: lines, with what was written over gone.
func (tty *terminal) screen() string {
	var seen []string
	for line := range strings.SplitSeq(strings.ReplaceAll(tty.text(), "\r\n", "\n"), "\n") {
		var cells []rune
		for part := range strings.SplitSeq(line, "\r") {
			runes := []rune(part)
			cells = append(runes, cells[min(len(runes), len(cells)):]...)
		}
		seen = append(seen, strings.TrimRight(string(cells), " "))
	}
	return strings.Join(seen, "\n")
}

// hangUp takes the terminal away.
func (tty *terminal) hangUp() {
	tty.slave.Close()
	tty.master.Close()
}

// control makes the terminal the controlling one of a command, and its standard error.
func (tty *terminal) control(c *exec.Cmd) {
	c.Stderr = tty.slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
}

// await waits until the terminal shows a text.
func (tty *terminal) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(tty.text(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the terminal shows %q, never %q", tty.text(), text)
		}
	}
}

func (tty *terminal) typed(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(tty.master, keys); err != nil {
		t.Fatal(err)
	}
}

func (tty *terminal) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// awaitScreen waits until a line on the screen begins with a text.
func (tty *terminal) awaitScreen(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains("\n"+tty.screen()+" ", "\n"+text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the screen shows %q, got %q, never %q", tty.screen(), tty.text(), text)
			return
		}
	}
}
