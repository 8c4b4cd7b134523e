//go:build vm

package vm

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// A slowChip gives numbers, as random as a test likes, when it is let.
type slowChip struct {
	came chan []byte   // a command
	go_  chan struct{} // lets one be answered
}

func (c *slowChip) send(command []byte) ([]byte, error) {
	c.came <- command
	<-c.go_
	return append([]byte{0x80, 1, 0, 0, 0, 28, 0, 0, 0, 0, 0, 16}, make([]byte, 16)...), nil
}

// serveSlowChip has a second tpmkeyd serve it.
func serveSlowChip(t *testing.T) (*slowChip, string, func() *exec.Cmd) {
	t.Helper()
	chip := &slowChip{make(chan []byte, 100), make(chan struct{}, 100)}
	spec := tpmtest.Serve(t, tpmtest.Func(chip.send))
	start := func() *exec.Cmd {
		d, err := startDaemon("tpmkeyd", "-node", "tpms-slow", "-device", spec, "-listen", "/run/slow/tpms.sock", "-state", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			d.Process.Kill()
			d.Wait()
		})
		return d
	}
	return chip, "/dev/tpms-slow", start
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(2 * time.Minute):
		t.Fatal("for two minutes not: ", what)
	}
	return v
}

// A client is killed while its command runs: it is gone at once, though the chip has not answered, and nobody gets its response. Any other signal leaves
// the command alone, which runs once.
func TestKilledInACommand(t *testing.T) {
	chip, path, start := serveSlowChip(t)
	start()
	p := as(t, user)
	c := p.again("send", path, hex.EncodeToString(getRandom()))
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, chip.came, "a command")
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for range 5 {
		c.Process.Signal(unix.SIGURG) // Go programs handle it
		time.Sleep(20 * time.Millisecond)
	}
	select {
	case err := <-ended:
		t.Fatalf("the client ended by a signal that it handles: %v, %s", err, &out)
	case <-time.After(200 * time.Millisecond):
	}
	c.Process.Signal(unix.SIGKILL)
	var exit *exec.ExitError
	if err := await(t, ended, "the end of a killed client"); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the client ended with %v, %s", err, &out)
	}
	chip.go_ <- struct{}{}
	survivor := p.again("send", path, hex.EncodeToString(getRandom()))
	chip.go_ <- struct{}{}
	if text, err := survivor.CombinedOutput(); err != nil || !strings.HasPrefix(string(text), "80010000001c00000000") {
		t.Errorf("the next client: %s, %v", text, err)
	}
	if n := len(chip.came); n != 1 {
		t.Errorf("%d commands came to the chip after the first, want 1", n)
	}
}

// A signal that is no end: its client has its answer, and the command has run once.
func TestSignalInACommand(t *testing.T) {
	chip, path, start := serveSlowChip(t)
	start()
	c := as(t, user).again("send", path, hex.EncodeToString(getRandom()))
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, chip.came, "a command")
	c.Process.Signal(unix.SIGURG)
	time.Sleep(200 * time.Millisecond)
	chip.go_ <- struct{}{}
	if err := c.Wait(); err != nil || !strings.HasPrefix(out.String(), "80010000001c00000000") || len(chip.came) > 0 {
		t.Errorf("%v, %s, and %d commands more", err, &out, len(chip.came))
	}
}

// The server is killed while a command runs: its client gets an error at once. The next server makes the node again.
func TestServerKilledInACommand(t *testing.T) {
	chip, path, start := serveSlowChip(t)
	d := start()
	c := mustOpen(t, path)
	failed := make(chan error, 1)
	go func() {
		_, err := c.Send(getRandom())
		failed <- err
	}()
	await(t, chip.came, "a command")
	d.Process.Kill()
	d.Wait()
	if err := await(t, failed, "the failure of a command"); !errors.Is(err, unix.ECONNABORTED) && !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("the command failed with %v", err)
	}
	chip.go_ <- struct{}{}
	start()
	chip.go_ <- struct{}{}
	if response, err := mustOpen(t, path).Send(getRandom()); err != nil || len(response) != 28 {
		t.Errorf("after the restart: %x, %v", response, err)
	}
}

// awaitGivenBack waits until tpmkeyd has closed the chip, as it does when nobody wants anything of it.
func awaitGivenBack(t *testing.T) {
	t.Helper()
	for range 600 {
		if c, err := openNode("/dev/tpm0"); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("tpmkeyd keeps the chip though nobody wants anything of it")
}

// A program that signs goes on signing over the death of tpmkeyd: it opens the node again by itself. What was on the chip each time is not there for ever: there are
// three slots.
func TestSignerReconnects(t *testing.T) {
	p := as(t, 0)
	p.do("tpmkey", "new", "k")
	key, err := signer.Open("k", signer.WithDevice(node), signer.WithDirs(p.dir+"/tpmkey"))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	for range 5 {
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
			t.Fatal(err)
		}
		theDaemon.Process.Kill()
		theDaemon.Wait()
		if theDaemon, err = startDaemon("tpmkeyd"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
		t.Error(err)
	}
}
