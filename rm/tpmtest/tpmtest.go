// Package tpmtest starts emulated TPMs for tests and observes what reaches them.
//
// An emulator is named by a device spec "unix:PATH", a socket with raw TPM
// framing: commands and responses follow one another, each delimited by its own
// size field. SWTPM, Simulator and Serve return such specs; Dial and rm/device
// take them. [SWTPM] serves one connection at a time and lets a second one wait:
// to look at a chip beside its client, put Serve in front of one connection.
//
// A missing program skips the test on a developer's machine and fails it where
// the environment has CI, so that nothing is skipped unseen.
package tpmtest

import (
	"flag"
	"os"
	"os/exec"
	"testing"
)

// Sender is a TPM: one whole command in, one whole response out.
type Sender interface {
	Send(command []byte) (response []byte, err error)
}

// Func is a Sender made of a function: a fake TPM of a few lines.
type Func func(command []byte) (response []byte, err error)

// Send calls f.
func (f Func) Send(command []byte) ([]byte, error) { return f(command) }

var update = flag.Bool("update", false, "renew recorded TPM dialogues and golden files")

// Update reports whether the test shall renew what it compares with: the flag
// -update of every test binary that imports this package.
func Update() bool { return *update }

// Need skips the test when one of the programs is not installed. Where the
// environment has CI, it fails the test instead.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Missing(t, err.Error())
		}
	}
}

// Missing skips the test because of something that it needs and this machine
// does not have. Where the environment has CI, it fails the test instead.
func Missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("missing, and CI skips nothing: ", why)
	}
	t.Skip("missing: ", why)
}

// Root skips the test where it does not run as root, wherever that is: make test tells how many that were. Why begins with "to".
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, ", why)
	}
}
