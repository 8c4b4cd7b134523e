package tpmtest

import (
	"bytes"
	"fmt"
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

// start runs the command until the test ends.
func start(t testing.TB, command *exec.Cmd) *process {
	t.Helper()
	p := &process{command: command, ended: make(chan struct{})}
	command.Stderr = &p.stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
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
