package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
)

// slowly is a chip that takes its time for a command.
func slowly(chip tpmtest.Sender, code tpm2.TPMCC, began chan<- struct{}) tpmtest.Sender {
	return tpmtest.Func(func(command []byte) ([]byte, error) {
		if waitingFor(command) == slowCommands[code] {
			began <- struct{}{}
			time.Sleep(3 * patience)
		}
		return chip.Send(command)
	})
}

func slowTPM(t *testing.T, code tpm2.TPMCC) (spec string, began chan struct{}) {
	began = make(chan struct{}, 10)
	return tpmtest.Serve(t, slowly(tpmtest.Dial(t, tpmtest.Simulator(t)), code, began)), began
}

// A key that takes long: the terminal says so meanwhile and shows nothing of it afterwards.
func TestProgress(t *testing.T) {
	spec, _ := slowTPM(t, tpm2.TPMCCCreate)
	tty := newTerminal(t)
	c := command(t, spec, t.TempDir(), "new", "demo")
	tty.control(c)
	if output, err := c.Output(); err != nil || !bytes.HasPrefix(output, []byte("ssh-rsa ")) || bytes.ContainsAny(output, "\r\x1b") {
		t.Errorf("%q, %v", output, err)
	}
	tty.await(t, "have another way in")
	if all := tty.text(); !strings.Contains(all, "tpmkey: making the key in the TPM, 1 s") || strings.Contains(all, "\x1b") {
		t.Errorf("the terminal got %q", all)
	}
	if screen := tty.screen(); !strings.HasPrefix(screen, "Made RSA 2048 key") || strings.Contains(screen, "making") {
		t.Errorf("the terminal shows %q", screen)
	}
}

// Nothing of it goes into a pipe.
func TestNoProgressIntoPipes(t *testing.T) {
	spec, _ := slowTPM(t, tpm2.TPMCCCreate)
	c := command(t, spec, t.TempDir(), "new", "demo")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil || strings.Contains(stderr.String(), "making the key") || strings.ContainsAny(stderr.String(), "\r\x1b") {
		t.Errorf("%q, %v", &stderr, err)
	}
}

// Ctrl-C while the TPM works: the person learns what is still awaited, and in the end there is one error and no key.
func TestInterruptedProgress(t *testing.T) {
	spec, began := slowTPM(t, tpm2.TPMCCCreate)
	tty := newTerminal(t)
	c := command(t, spec, t.TempDir(), "new", "demo")
	tty.control(c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-began
	tty.typed(t, "\x03")
	tty.await(t, "interrupted; waiting for the TPM to finish")
	err := c.Wait()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v", err)
	}
	tty.await(t, "error: interrupted")
	if screen := tty.screen(); strings.Contains(screen, "waiting") || strings.Count(screen, "tpmkey:") != 1 {
		t.Errorf("the terminal shows %q", screen)
	}
}
