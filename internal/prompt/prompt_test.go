package prompt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world is an asker in a folder of the test's own, with programs that the test writes.
type world struct {
	t   *testing.T
	env map[string]string
	*asker
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, env: map[string]string{}}
	w.asker = &asker{getenv: func(name string) string { return w.env[name] }, tty: filepath.Join(dir, "tty"), questions: filepath.Join(dir, "systemd", "ask-password"), path: dir}
	return w
}

func (w *world) program(name, script string) string {
	w.t.Helper()
	path := filepath.Join(w.path, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		w.t.Fatal(err)
	}
	return path
}

var question = Question{Key: "web", Program: "nginx"}

func (w *world) want(what, want string) {
	w.t.Helper()
	pin, err := w.pin(context.Background(), question)
	if err != nil || string(pin) != want {
		w.t.Errorf("%s: %q, %v", what, pin, err)
	}
}

// An error names what was wanted, and the way without a person.
func TestSecret(t *testing.T) {
	for want, q := range map[string]Question{"PIN": {Key: "web"}, "password": {File: "key.p12"}} {
		q.Instead = "say -file FILE"
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := PIN(ctx, q)
		if err == nil || !strings.HasPrefix(err.Error(), "the "+want+" ") || errors.Is(err, ErrNobody) != strings.HasSuffix(err.Error(), "; say -file FILE") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestNobody(t *testing.T) {
	if _, err := newWorld(t).pin(context.Background(), question); !errors.Is(err, ErrNobody) {
		t.Error(err)
	}
}

func TestAskpass(t *testing.T) {
	w := newWorld(t)
	w.env["SSH_ASKPASS"] = w.program("mine", `printf '%s\n' "$1" >"$0.said"; echo "my PIN"`)
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrNobody) {
		t.Errorf("without a display: %v", err)
	}
	w.env["DISPLAY"] = ":0"
	w.want("with a display", "my PIN")
	if said, err := os.ReadFile(filepath.Join(w.path, "mine.said")); err != nil || string(said) != "PIN of key \"web\" for \"nginx\":\n" {
		t.Errorf("the question is %q, %v", said, err)
	}
	w.env["SSH_ASKPASS_REQUIRE"] = "never"
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrNobody) {
		t.Errorf("never: %v", err)
	}
	delete(w.env, "DISPLAY")
	w.env["SSH_ASKPASS_REQUIRE"] = "force"
	w.want("by force", "my PIN")
	w.env["SSH_ASKPASS"] = w.program("no", "exit 1")
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrCancelled) {
		t.Errorf("a person who does not want to: %v", err)
	}
	w.env["SSH_ASKPASS"] = w.program("slow", "sleep 60")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.pin(ctx, question); !errors.Is(err, ErrCancelled) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a person who does not answer: %v", err)
	}
}

func TestPinentry(t *testing.T) {
	w := newWorld(t)
	w.env["WAYLAND_DISPLAY"] = "wayland-0"
	w.program("pinentry", `
echo OK Pleased to meet you
while read -r line; do
	printf '%s\n' "$line" >>"$0.said"
	case $line in
	GETPIN) echo 'S PASSWORD_FROM_CACHE'; echo 'D 12%25 34'; echo OK ;;
	*) echo OK ;;
	esac
done`)
	w.want("pinentry", "12% 34")
	said, err := os.ReadFile(filepath.Join(w.path, "pinentry.said"))
	if err != nil || !strings.Contains(string(said), "SETDESC PIN of key \"web\" for \"nginx\"\n") {
		t.Errorf("pinentry was told %q, %v", said, err)
	}
	w.program("pinentry", "echo OK; read -r line; echo 'ERR 83886179 Operation cancelled'")
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrCancelled) {
		t.Errorf("a cancelled pinentry: %v", err)
	}
	w.program("pinentry", "exit 0")
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrCancelled) {
		t.Errorf("a pinentry that ends: %v", err)
	}
}

func TestSystemd(t *testing.T) {
	w := newWorld(t)
	w.program("systemd-ask-password", `for last; do :; done; printf '%s' "$last" >"$0.said"; echo secret`)
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrNobody) {
		t.Errorf("without systemd: %v", err)
	}
	if err := os.MkdirAll(w.questions, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pin(context.Background(), question); !errors.Is(err, ErrNobody) {
		t.Errorf("without an agent: %v", err)
	}
	w.agent()
	var notice string
	question := Question{Key: "web", Instead: "say -pin-file FILE", Notice: func(text string) { notice = text }}
	if pin, err := w.pin(context.Background(), question); err != nil || string(pin) != "secret" {
		t.Errorf("systemd: %q, %v", pin, err)
	}
	if !strings.Contains(notice, `PIN of key "web"`) || !strings.Contains(notice, "systemd-tty-ask-password-agent, or interrupt this and say -pin-file FILE") {
		t.Errorf("noticed: %s", notice)
	}
}

// agent watches for questions, as systemd-tty-ask-password-agent --watch does.
func (w *world) agent() {
	w.t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, w.questions, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO); err != nil {
		w.t.Fatal(err)
	}
}

// terminal gives the world a terminal, and the test its other end.
func (w *world) terminalEnd() *os.File {
	w.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		w.t.Fatal(err)
	}
	w.tty = fmt.Sprintf("/dev/pts/%d", number)
	return master
}

func (w *world) echoes() bool {
	w.t.Helper()
	f, err := os.Open(w.tty)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// until reads from the terminal's other end until it has shown something.
func until(t *testing.T, master *os.File, want string) (shown string) {
	t.Helper()
	buffer := make([]byte, 256)
	for !strings.Contains(shown, want) {
		n, err := master.Read(buffer)
		if err != nil {
			t.Fatalf("the terminal shows %q: %v", shown, err)
		}
		shown += string(buffer[:n])
	}
	return shown
}

func TestTerminal(t *testing.T) {
	w := newWorld(t)
	master := w.terminalEnd()
	keep, err := os.OpenFile(w.tty, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	type answer struct {
		pin []byte
		err error
	}
	answers := make(chan answer)
	ask := func(ctx context.Context) {
		pin, err := w.pin(ctx, Question{Key: "web", Again: "the PIN is wrong"})
		answers <- answer{pin, err}
	}
	go ask(context.Background())
	shown := until(t, master, `the PIN is wrong. PIN of key "web": `)
	if w.echoes() {
		t.Error("the terminal shows what is typed")
	}
	fmt.Fprint(master, "12 34\nnext")
	if a := <-answers; a.err != nil || string(a.pin) != "12 34" {
		t.Errorf("%q, %v", a.pin, a.err)
	}
	if !w.echoes() || strings.Contains(shown, "12 34") {
		t.Errorf("the terminal is not as it was, or has shown %q", shown)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go ask(ctx)
	until(t, master, `PIN of key "web": `)
	cancel()
	if a := <-answers; !errors.Is(a.err, ErrCancelled) || !errors.Is(a.err, context.Canceled) || !w.echoes() {
		t.Errorf("interrupted: %v; the terminal echoes: %v", a.err, w.echoes())
	}
	for what, typed := range map[string]string{"the end of the input": "\x04", "too much": strings.Repeat("x", 300) + "\n"} {
		go ask(context.Background())
		until(t, master, `PIN of key "web": `)
		fmt.Fprint(master, typed)
		if a := <-answers; !errors.Is(a.err, ErrCancelled) || !w.echoes() {
			t.Errorf("%s: %q, %v", what, a.pin, a.err)
		}
	}
}
