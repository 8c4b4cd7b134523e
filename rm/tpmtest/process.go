package tpmtest

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// process is a child that ends with its test, and with the test binary should
// that be killed.
type process struct {
	command *exec.Cmd
	stderr  bytes.Buffer  // complete once ended is closed
	ended   chan struct{} // closed when the child was waited for
}

// Start runs a program until the test ends, and until the test binary ends should
// that be killed. It returns once ready returns nil, and fails the test with what
// the program said on standard error when it ends before.
func Start(t testing.TB, command *exec.Cmd, ready func() error) {
	t.Helper()
	p := &process{command: command, ended: make(chan struct{})}
	command.Stderr = &p.stderr
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	p.await(t, ready)
}

// Listens is for Start: the program is ready when it takes connections to the
// Unix socket.
func Listens(path string) (ready func() error) {
	return func() error {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// run starts the child and waits for it, all on one thread: the kernel sends the
// signal of Pdeathsig when the thread ends that started the child.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.command.Start()
	started <- err
	if err != nil {
		return
	}
	p.command.Wait()
	close(p.ended)
}

func (p *process) stop() {
	p.command.Process.Kill()
	<-p.ended
}

// await calls ready until it returns nil. It fails the test when the child ends
// before, or takes longer than half a minute.
func (p *process) await(t testing.TB, ready func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if err = ready(); err == nil {
			return
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended at its start: %s", p.command.Path, &p.stderr)
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.stop()
	t.Fatal(fmt.Errorf("%s does not answer: %w: %s", p.command.Path, err, &p.stderr))
}
