package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/rogpeppe/go-internal/testscript"

	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// The scripts have two chips, each of which can also be reached as users do whose TPM is managed by somebody else, with the default filter.
func TestMigrationScripts(t *testing.T) {
	tpmtest.Need(t, "ssh-keygen", "openssl")
	runScripts(t, filepath.Join("testdata", "migration"), func(t testing.TB, env *testscript.Env) string {
		here, there := tpmtest.Simulator(t), tpmtest.Simulator(t)
		env.Setenv("THERE", there)
		env.Setenv("MANAGED", managed(t, here))
		return here
	})
}

// movable puts software keys, with and without a password, into a directory, a parent that keys can go to, and a key that can; and gives the list of files that are
// there now.
func movable(t *testing.T, spec, store string) string {
	t.Helper()
	for file, password := range map[string]string{"OPEN": "", "LOCKED": guardedPIN} {
		if output, err := exec.Command("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-a", "1", "-N", password, "-f", filepath.Join(store, file)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
	}
	parent, err := command(t, spec, store, "migrate", "parent").Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(store, "PARENT"), parent, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if output, err := command(t, spec, store, "new", "leaves", "-migratable", "-pin-file", filepath.Join(store, "pin")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return files(t, store)
}

// A password that is typed, wrong at first, opens the file; a person who compares the Names lets a key go.
func TestTypedAnswers(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	guardedKey(t, spec, store)
	movable(t, spec, store)
	for _, row := range []struct {
		args  []string
		typed [][2]string // after a question, an answer
	}{
		{[]string{"import", "LOCKED", "fresh"}, [][2]string{{"password of", "wrong"}, {"the password is wrong", guardedPIN}, {"Imported", ""}}},
		{[]string{"migrate", "export", "-to", "PARENT", "leaves", "-out", "OUT"}, [][2]string{{"Name\r\n  000b", "yes"}, {"PIN of key", guardedPIN}, {"goes on working here", ""}}},
	} {
		tty := newTerminal(t)
		c := command(t, spec, store, inStore(row.args, store)...)
		tty.control(c)
		c.Stdin = tty.slave
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for _, dialogue := range row.typed {
			tty.await(t, dialogue[0])
			tty.typed(t, dialogue[1]+"\n")
		}
		if err := c.Wait(); err != nil || strings.Contains(tty.text(), guardedPIN) {
			t.Errorf("%v: %v, shown %q", row.args, err, tty.text())
		}
	}
}

// What the profile migrate leaves to root, whoever may open the chip can do on it: he needs no filter at all.
func TestMigrateAsUser(t *testing.T) {
	dir := publicDir(t)
	spec := tpmtest.Simulator(t)
	for path, mode := range map[string]os.FileMode{dir: 0o777, filepath.Dir(socketPath(spec)): 0o755, socketPath(spec): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	asUser := func(args ...string) []byte {
		t.Helper()
		c := asNobody(t, dir, command(t, spec, filepath.Join(dir, "store"), args...))
		c.Dir = dir
		output, err := c.Output()
		if err != nil {
			t.Errorf("%v: %v, %s", args, err, err.(*exec.ExitError).Stderr)
		}
		return output
	}
	if err := os.WriteFile(filepath.Join(dir, "parent"), asUser("migrate", "parent"), 0o644); err != nil {
		t.Fatal(err)
	}
	asUser("new", "leaves", "-migratable")
	asUser("migrate", "export", "-yes", "-to", "parent", "-out", "wrapped", "leaves")
	asUser("migrate", "import", "wrapped", "back")
	if signature := asUser("sign", "back", "parent", "-base64"); len(signature) < 300 {
		t.Errorf("signed %q", signature)
	}
}

// Whatever happens in the middle, there is a whole key or none.
func TestImportGoesWrong(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	guardedKey(t, spec, store)
	movable(t, spec, store)
	file := filepath.Join(store, "OPEN")
	t.Run("full disk", func(t *testing.T) {
		c := command(t, spec, t.TempDir(), "import", file, "demo")
		c.Path, c.Args = "/bin/bash", append([]string{"bash", "-c", `ulimit -f 1; exec "$@"`, "bash", c.Path}, c.Args[1:]...)
		expectFailure(t, c, "file too large")
	})
	t.Run("twice at once", func(t *testing.T) {
		var both [2]*exec.Cmd
		failed := 0
		for i := range both {
			both[i] = command(t, spec, store, "import", file, "twice")
			if err := both[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range both {
			if c.Wait() != nil {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%d of 2 failed", failed)
		}
		if output, err := command(t, spec, store, "sign", "twice", file, "-base64").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, output)
		}
	})
	t.Run("output full", func(t *testing.T) {
		c := command(t, spec, store, "import", file, "full")
		c.Path, c.Args = "/bin/bash", append([]string{"bash", "-c", `exec "$@" >/dev/full`, "bash", c.Path}, c.Args[1:]...)
		if output, err := c.CombinedOutput(); err == nil || !strings.Contains(string(output), "tpmkey: error: write the output") {
			t.Errorf("%v: %s", err, output)
		}
	})
	tpmtest.NoLeaks(t, spec)
}

// Ctrl-C while the TPM works on a key leaves no key and nothing in the chip.
func TestInterruptedImport(t *testing.T) {
	spec, store := tpmtest.Simulator(t), t.TempDir()
	guardedKey(t, spec, store)
	movable(t, spec, store)
	chip := tpmtest.Dial(t, spec)
	for code, args := range map[tpm2.TPMCC][]string{
		tpm2.TPMCCImport:    {"import", "OPEN", "demo"},
		tpm2.TPMCCDuplicate: {"migrate", "export", "-yes", "-pin-file", "pin", "-to", "PARENT", "leaves", "-out", "OUT"},
	} {
		reached := make(chan struct{}, 1)
		slow := tpmtest.Func(func(command []byte) ([]byte, error) {
			if tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) == code {
				reached <- struct{}{}
				time.Sleep(time.Second)
			}
			return chip.Send(command)
		})
		before := files(t, store)
		c := command(t, tpmtest.Serve(t, slow), store, inStore(args, store)...)
		c.Dir = store
		var said bytes.Buffer
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-reached
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if c.Wait(); c.ProcessState.ExitCode() != exitInterrupted || said.String() != "tpmkey: error: interrupted\n" {
			t.Errorf("%v: status %d, said %q", args, c.ProcessState.ExitCode(), &said)
		}
		if after := files(t, store); after != before {
			t.Errorf("%v: the store has\n%s\nand had\n%s", args, after, before)
		}
		tpmtest.NoLeaks(t, spec)
	}
}

// managed offers a chip behind the default filter of another process.
func managed(t testing.TB, spec string) string {
	t.Helper()
	var d transport.TPMCloser
	return "broker:" + socketPath(tpmtest.Serve(t, tpmtest.Func(func(command []byte) (response []byte, err error) {
		if d == nil { // not before somebody asks
			if d, err = device.Open(spec); err != nil {
				return nil, err
			}
			t.Cleanup(func() { d.Close() })
		}
		return d.Send(command)
	})))
}
