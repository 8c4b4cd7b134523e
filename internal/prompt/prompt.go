// Package prompt asks a person for a PIN: on the terminal, with an askpass program, with pinentry, or through systemd.
//
// The environment that it reads is ssh's own (SSH_ASKPASS, SSH_ASKPASS_REQUIRE, see ssh(1)), DISPLAY and WAYLAND_DISPLAY; a process with raised privileges
// reads none of it, and is asked on the terminal or through systemd only.
package prompt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/privilege"
)

// ErrNobody says that there is no way to ask.
var ErrNobody = errors.New("cannot be asked for: there is no terminal, no SSH_ASKPASS, no pinentry, and nobody who answers systemd-ask-password")

// ErrCancelled says that the person does not want to answer.
var ErrCancelled = errors.New("was not given")

// A Question is what the person sees.
type Question struct {
	Key     string // which key's PIN
	File    string // instead: which file's password
	Program string // who wants to use the key; "": this program says so itself
	Again   string // why it is asked again; "": it is not
	Instead string // how to do without asking, which errors say; "": there is no other way

	Notice func(string) // is told who is asked where the person may not see it; nil: nobody
}

// secret is what an answer is.
func (q Question) secret() string {
	if q.File != "" {
		return "password"
	}
	return "PIN"
}

// text is the question on one line, with nothing in it that moves a cursor.
func (q Question) text() string {
	text := fmt.Sprintf("PIN of key %q", q.Key)
	if q.File != "" {
		text = fmt.Sprintf("password of %q", q.File)
	}
	if q.Program != "" {
		text += fmt.Sprintf(" for %q", q.Program)
	}
	if q.Again != "" {
		text = fmt.Sprintf("%s. %s", strings.TrimSuffix(q.Again, "."), text)
	}
	return text
}

// most is how long a person may take where nobody else ends the waiting.
const most = 5 * time.Minute

// A way to ask. It is tried when it is there; its answer counts, whatever it is.
type way struct {
	name      string
	available func(*asker) bool
	ask       func(*asker, context.Context, Question) ([]byte, error)
}

// ways in the order of their trying.
var ways = []way{
	{"SSH_ASKPASS, because SSH_ASKPASS_REQUIRE says so", (*asker).prefersAskpass, (*asker).askpass},
	{"terminal", (*asker).hasTerminal, (*asker).terminal},
	{"SSH_ASKPASS", (*asker).hasAskpass, (*asker).askpass},
	{"pinentry", (*asker).hasPinentry, (*asker).pinentry},
	{"systemd-ask-password", (*asker).hasSystemd, (*asker).systemd},
}

// PIN asks for a PIN. The caller wipes what it gets.
func PIN(ctx context.Context, q Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	pin, err := newAsker().pin(ctx, q)
	switch {
	case errors.Is(err, ErrNobody) && q.Instead != "":
		err = fmt.Errorf("the %s %w; %s", q.secret(), err, q.Instead)
	case err != nil:
		err = fmt.Errorf("the %s %w", q.secret(), err)
	}
	return pin, err
}

// An asker knows what there is to ask with.
type asker struct {
	getenv    func(string) string
	tty       string // path of the terminal
	questions string // systemd's directory
	path      string // where programs are looked for
}

func newAsker() *asker {
	a := &asker{getenv: os.Getenv, tty: "/dev/tty", questions: "/run/systemd/ask-password", path: "/usr/bin"}
	if privilege.Raised() {
		a.getenv = func(string) string { return "" }
	}
	return a
}

func (a *asker) pin(ctx context.Context, q Question) ([]byte, error) {
	for _, w := range ways {
		if !w.available(a) {
			continue
		}
		pin, err := w.ask(a, ctx, q)
		if ctx.Err() != nil {
			clear(pin)
			return nil, fmt.Errorf("%w: %w", ErrCancelled, ctx.Err())
		}
		return pin, err
	}
	return nil, ErrNobody
}

func (a *asker) hasDisplay() bool {
	return a.getenv("DISPLAY") != "" || a.getenv("WAYLAND_DISPLAY") != ""
}

func (a *asker) prefersAskpass() bool {
	switch a.getenv("SSH_ASKPASS_REQUIRE") {
	case "force":
		return a.askpassProgram() != ""
	case "prefer":
		return a.hasDisplay() && a.askpassProgram() != ""
	}
	return false
}

func (a *asker) hasAskpass() bool {
	return a.getenv("SSH_ASKPASS_REQUIRE") != "never" && a.hasDisplay() && a.askpassProgram() != ""
}

// askpassProgram is what SSH_ASKPASS names, or what Debian's alternatives give.
func (a *asker) askpassProgram() string {
	if program := a.getenv("SSH_ASKPASS"); program != "" {
		return program
	}
	return a.find("ssh-askpass")
}

// find gives the path of a program where distributions put it, "" if it is not there. PATH is not asked: a PIN is no matter for whatever comes first in it.
func (a *asker) find(name string) string {
	path := filepath.Join(a.path, name)
	if unix.Access(path, unix.X_OK) != nil {
		return ""
	}
	return path
}

// askpass runs a program that gets the question as its argument and prints the answer.
func (a *asker) askpass(ctx context.Context, q Question) ([]byte, error) {
	return answerOf(exec.CommandContext(ctx, a.askpassProgram(), q.text()+":"))
}

// answerOf is the first line of a program's output.
func answerOf(c *exec.Cmd) ([]byte, error) {
	c.WaitDelay = time.Second
	output, err := c.Output()
	defer clear(output)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return nil, fmt.Errorf("%w: %s: %w", ErrCancelled, filepath.Base(c.Path), err)
	case err != nil:
		return nil, fmt.Errorf("could not be asked for: %w", err)
	}
	return firstLine(output), nil
}

// firstLine copies what stands before the first line end.
func firstLine(output []byte) []byte {
	if end := bytes.IndexAny(output, "\r\n"); end >= 0 {
		output = output[:end]
	}
	return append([]byte{}, output...)
}
