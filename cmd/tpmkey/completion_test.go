package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// What is typed before the Tab key, and what the line is afterwards.
var completed = []struct{ typed, line string }{
	{"tpmkey sho", "tpmkey show "},
	{"tpmkey show al", "tpmkey show alice@laptop "},
	{"tpmkey show alice@l", "tpmkey show alice@laptop "},
	{"tpmkey show two", `tpmkey show two\ words `},
	{"tpmkey sign -hash sha5", "tpmkey sign -hash sha512 "},
	{"tpmkey sign -scheme ps", "tpmkey sign -scheme pss "},
	{"tpmkey decrypt -scheme o", "tpmkey decrypt -scheme oaep "},
	{"tpmkey list -na", "tpmkey list -names "},
	{"tpmkey sign -base64 -salt 3 al", "tpmkey sign -base64 -salt 3 alice@laptop "},
	{"tpmkey sign alice@laptop what", "tpmkey sign alice@laptop what-is-signed "},
	{"tpmkey sign -out what", "tpmkey sign -out what-is-signed "},
	{"tpmkey show -dir other b", "tpmkey show -dir other bob "},
	{"tpmkey show -dir oth", "tpmkey show -dir other/"},
	{"tpmkey completion z", "tpmkey completion zsh "},
	{"tpmkey filter show orch", "tpmkey filter show orchestrate "},
	{"tpmkey filter explain TPM2_Dupl", "tpmkey filter explain TPM2_Duplicate "},
	{"tpmkey filter explain -filter all TPM2_ChangeE", "tpmkey filter explain -filter all TPM2_ChangeEPS "},
	{"tpmkey filter check what", "tpmkey filter check what-is-signed "},
	{"tpmkey namespace te", "tpmkey namespace test "},
	{"tpmkey pip", "tpmkey pipe "},
	{"tpmkey pipe -device what", "tpmkey pipe -device what-is-signed "},
	{"tpmkey migrate export ali", "tpmkey migrate export alice@laptop "},
	{"tpmkey help ren", "tpmkey help rename "},
	{"true; tpmkey sho", "true; tpmkey show "},
}

// shellSession prepares a shell in a directory with keys and files, and the environment that it needs.
func shellSession(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	tpmtest.Need(t, name)
	dir := t.TempDir()
	for _, sub := range []string{"tpmkey", "other"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for key, sub := range map[string]string{"alice@laptop": "tpmkey", "two words": "tpmkey", "bob": "other"} {
		softwareKey(t, filepath.Join(dir, sub), key)
	}
	for file, text := range map[string]string{"what-is-signed": "", "script": scriptOf(t, name), ".zshrc": "unsetopt beep\nunset zle_bracketed_paste\nPS1='READY '\nautoload -Uz compinit\ncompinit -u -C -d ./dump\nsource ./script\n",
		"bashrc": "PS1='READY '\nsource ./script\nbind 'set bell-style none'\nbind 'set enable-bracketed-paste off'\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := command(t, "/nonexistent", dir)
	c.Path, _ = exec.LookPath(name)
	c.Args, c.Dir = append([]string{name}, args...), dir
	c.Env = append(c.Env, "TERM=dumb", "ZDOTDIR="+dir, "HOME="+dir, "LC_ALL=C.UTF-8")
	return c
}

// scriptOf is what tpmkey completion prints.
func scriptOf(t *testing.T, shell string) string {
	t.Helper()
	return printed(t, runCompletion, shell)
}

// A person at a terminal types, and presses Tab.
func TestCompletionAtTerminal(t *testing.T) {
	for shell, args := range map[string][]string{"bash": {"--noprofile", "--rcfile", "bashrc", "-i"}, "zsh": {"-i"}} {
		t.Run(shell, func(t *testing.T) {
			c := shellSession(t, shell, args...)
			for _, row := range completed {
				tty := newTerminal(t)
				session := exec.Command(c.Path, c.Args[1:]...)
				session.Env, session.Dir = c.Env, c.Dir
				tty.control(session)
				session.Stdin, session.Stdout = tty.slave, tty.slave
				if err := session.Start(); err != nil {
					t.Fatal(err)
				}
				tty.await(t, "READY ")
				tty.typed(t, row.typed+"\t")
				tty.awaitScreen(t, "READY "+row.line)
				session.Process.Kill()
				session.Wait()
			}
		})
	}
}

// fish tells what it would complete without a terminal.
func TestCompletionInFish(t *testing.T) {
	for _, row := range completed {
		c := shellSession(t, "fish", "--no-config", "-c", "source script; complete --escape -C "+quoted(row.typed))
		output, err := c.CombinedOutput()
		last := row.line[strings.LastIndex(strings.ReplaceAll(strings.TrimRight(row.line, " "), `\ `, "--"), " ")+1:]
		first, _, _ := strings.Cut(string(output), "\t")
		if err != nil || strings.TrimSpace(first) != strings.TrimRight(last, " ") {
			t.Errorf("%q: %q, not %q; %v", row.typed, output, last, err)
		}
	}
}

// What the first argument of a verb is, read from its usage.
func TestOperandOf(t *testing.T) {
	for verb, want := range map[string]place{
		"new": {}, "list": {}, "show": {kind: anyKey}, "sign": {kind: anyKey}, "verify": {kind: anyKey}, "rename": {kind: anyKey}, "ssh": {},
		"help": {kind: anyCommand}, "completion": {words: []string{"bash", "zsh", "fish"}}, "filter": {words: []string{"list", "show", "check", "explain"}},
		"import": {kind: anyFile}, "namespace": {words: []string{"list", "show", "test"}}, "migrate": {words: []string{"parent", "export", "import"}},
	} {
		v, err := verbOf(verb)
		if err != nil {
			t.Fatal(err)
		}
		if got := operandOf(v); got.kind != want.kind || !slices.Equal(got.words, want.words) {
			t.Errorf("%s: %+v", verb, got)
		}
	}
}

func TestCompletionUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"tcsh"}, {"bash", "zsh"}} {
		if err := runCompletion(&tool{stdout: &bytes.Buffer{}}, args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
