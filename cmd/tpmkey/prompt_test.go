package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

const guardedPIN = "a PIN"

// asking are command lines that ask a person, and what the question has in it.
var asking = []struct {
	args     []string
	question string
}{
	{[]string{"new", "fresh", "-pin"}, "PIN of key \"fresh\""},
	{[]string{"pin", "guarded"}, "PIN of key \"guarded\""},
	{[]string{"sign", "guarded", "terminal_test.go", "-out", "OUT"}, "PIN of key \"guarded\""},
	{[]string{"decrypt", "guarded", "CIPHER", "-out", "OUT"}, "PIN of key \"guarded\""},
	{[]string{"csr", "guarded"}, "PIN of key \"guarded\""},
	{[]string{"cert", "guarded", "-self-signed"}, "PIN of key \"guarded\""},
	{[]string{"delete", "guarded"}, "type yes"},
	{[]string{"import", "LOCKED", "fresh"}, "password of"},
	{[]string{"import", "OPEN", "fresh", "-pin"}, "PIN of key \"fresh\""},
	{[]string{"migrate", "export", "-to", "PARENT", "guarded"}, "type yes"},
	{[]string{"migrate", "export", "-yes", "-to", "PARENT", "leaves", "-out", "OUT"}, "PIN of key \"leaves\""},
}

// departures are ways in which a person leaves a question.
var departures = map[string]func(*testing.T, *terminal){
	"Ctrl-C":            func(t *testing.T, tty *terminal) { tty.typed(t, "\x03") },
	"the terminal goes": func(_ *testing.T, tty *terminal) { tty.hangUp() },
	"end of file":       func(t *testing.T, tty *terminal) { tty.typed(t, "\x04") },
}

// Whoever leaves a question gets nothing, loses nothing, and finds the terminal as it was.
func TestLeftQuestions(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	guardedKey(t, spec, store)
	before := movable(t, spec, store)
	for name, leave := range departures {
		for _, row := range asking {
			t.Run(name+" "+strings.Join(row.args, " "), func(t *testing.T) {
				tty := newTerminal(t)
				c := command(t, spec, store, inStore(row.args, store)...)
				tty.control(c)
				c.Stdin = tty.slave
				var stdout bytes.Buffer
				c.Stdout = &stdout
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				tty.await(t, row.question)
				leave(t, tty)
				if err := c.Wait(); !failed(err) || stdout.Len() > 0 {
					t.Errorf("%v, said %q, printed %q", err, tty.text(), &stdout)
				}
				if name == "Ctrl-C" {
					tty.await(t, "error: interrupted")
					if code := c.ProcessState.ExitCode(); code != exitInterrupted {
						t.Errorf("exit code %d after Ctrl-C", code)
					}
				}
				if name != "the terminal goes" && !tty.echoes(t) {
					t.Error("the terminal does not echo any more")
				}
				if after := files(t, store); after != before {
					t.Errorf("the store has\n%s\nand had\n%s", after, before)
				}
			})
		}
	}
}

// failed tells whether a command ended as one that was interrupted or failed, and not by a crash.
func failed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return status.Signal() == syscall.SIGINT || status.Signal() == syscall.SIGHUP
	}
	return status.ExitStatus() == exitFailed || status.ExitStatus() == exitInterrupted
}

// guardedKey makes a key with a PIN, and something for it to decrypt, and gives the list of files that are there now.
func guardedKey(t *testing.T, spec, store string) string {
	t.Helper()
	pin := filepath.Join(store, "pin")
	if err := os.WriteFile(pin, []byte(guardedPIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := command(t, spec, store, "new", "guarded", "-pin-file", pin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	k, err := provider.Open([]string{filepath.Join(store, "tpmkey")}, nil).Key("guarded")
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, k.Public(), []byte("\x1b[31mnot for terminals"), nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(store, "CIPHER"), ciphertext, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return files(t, store)
}

func inStore(args []string, store string) []string {
	var out []string
	for _, arg := range args {
		if arg == strings.ToUpper(arg) {
			arg = filepath.Join(store, arg)
		}
		out = append(out, arg)
	}
	return out
}

// files are the names and contents below a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		list.WriteString(path + " " + string(text[:min(len(text), 2000)]) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// A PIN that is typed signs and decrypts, and what is no text does not get onto a terminal.
func TestTypedPIN(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	guardedKey(t, spec, store)
	for _, row := range []struct {
		args   []string
		asks   bool
		status int
		says   string
	}{
		{[]string{"sign", "guarded", "terminal_test.go"}, false, exitUsage, "would upset the terminal"},
		{[]string{"sign", "-base64", "guarded", "terminal_test.go"}, true, 0, "=\r\n"},
		{[]string{"decrypt", "guarded", "CIPHER"}, true, exitFailed, "would upset the terminal"},
		{[]string{"decrypt", "guarded", "CIPHER", "-out", "OUT"}, true, 0, ""},
	} {
		tty := newTerminal(t)
		c := command(t, spec, store, inStore(row.args, store)...)
		tty.control(c)
		c.Stdin, c.Stdout = tty.slave, tty.slave
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if row.asks {
			tty.await(t, "PIN of key")
			tty.typed(t, guardedPIN+"\n")
		}
		c.Wait()
		tty.await(t, row.says)
		if shown := tty.text(); c.ProcessState.ExitCode() != row.status || strings.Contains(shown, guardedPIN) || strings.Contains(shown, "\x1b") {
			t.Errorf("%v: status %d, shown %q", row.args, c.ProcessState.ExitCode(), shown)
		}
	}
	if text, err := os.ReadFile(filepath.Join(store, "OUT")); err != nil || string(text) != "\x1b[31mnot for terminals" {
		t.Errorf("decrypted into a file: %q, %v", text, err)
	}
}
