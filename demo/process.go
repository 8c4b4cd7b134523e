package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// indent stands before everything that is shown of a program.
const indent = "   "

// attributes puts a child into a process group of its own, so that the demo and
// not the terminal ends it, and has it killed when the demo dies.
func attributes(credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: credential}
}

// show prints a command as one would type it.
func (s *stage) show(name string, args ...string) {
	words := []string{name}
	for _, arg := range args {
		if strings.ContainsAny(arg, " ") || arg == "" {
			arg = "'" + arg + "'"
		}
		words = append(words, arg)
	}
	fmt.Println(indent + "$ " + s.typed(strings.Join(words, " ")))
}

// tell prints what came of it.
func (s *stage) tell(text string) {
	for line := range strings.Lines(text) {
		fmt.Println(indent + s.typed(strings.TrimRight(line, "\n")))
	}
}

// run shows a command, runs it as the user and shows and returns its output.
func (s *stage) run(name string, args ...string) (string, error) {
	s.show(name, args...)
	output, err := s.quietly(s.user.credential, name, args...)
	s.tell(output)
	return output, err
}

// quietly runs a command and returns its output. An interrupted demo kills it
// with all its children.
func (s *stage) quietly(credential *syscall.Credential, name string, args ...string) (string, error) {
	command := exec.CommandContext(s.ctx, name, args...)
	command.Dir = s.dir
	command.Env = s.environment()
	command.SysProcAttr = attributes(credential)
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	output, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w", s.typed(name), err)
	}
	return string(output), err
}

// daemon is a program that runs until the end of the demo.
type daemon struct {
	name    string
	command *exec.Cmd
	log     log
	ended   chan struct{} // closed once it was waited for
}

// start shows a command and leaves it running.
func (s *stage) start(credential *syscall.Credential, name string, args ...string) (*daemon, error) {
	s.show(name, append(args, "&")...)
	command := exec.Command(name, args...)
	d := &daemon{name: s.typed(name), command: command, ended: make(chan struct{})}
	command.Dir = s.dir
	command.Env = s.environment()
	command.Stdout, command.Stderr = &d.log, &d.log
	command.SysProcAttr = attributes(credential)
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		return nil, err
	}
	s.daemons = append(s.daemons, d)
	go func() {
		command.Wait()
		close(d.ended)
	}()
	return d, nil
}

// await returns once ready does, and an error if the daemon ends before.
func (s *stage) await(d *daemon, ready func() bool) error {
	for !ready() {
		select {
		case <-d.ended:
			s.tell(d.log.String())
			return fmt.Errorf("%s ended at its start", d.name)
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// awaitLine returns the first line of the daemon's log that has all the words.
func (s *stage) awaitLine(d *daemon, words ...string) (line string, err error) {
	deadline := time.Now().Add(10 * time.Second)
	err = s.await(d, func() bool {
		line = d.log.find(words)
		return line != "" || time.Now().After(deadline)
	})
	if err == nil && line == "" {
		err = errors.New(d.name + " never said: " + strings.Join(words, " … "))
	}
	return line, err
}

// stop asks the daemon to end and kills its whole group if it does not.
func (d *daemon) stop() {
	d.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(3 * time.Second):
	}
	// The group outlives its leader while a child of it runs.
	syscall.Kill(-d.command.Process.Pid, syscall.SIGKILL)
	<-d.ended
}

// log collects what a daemon says.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// find returns the first whole line with all the words, "" if there is none.
func (l *log) find(words []string) string {
	for line := range strings.Lines(l.String()) {
		if containsAll(line, words) && strings.HasSuffix(line, "\n") {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}

func containsAll(line string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(line, word) {
			return false
		}
	}
	return true
}
