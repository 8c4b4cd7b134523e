//go:build bench

package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// setting is a user with one key, the module that has it and the chip it belongs
// to.
type setting struct {
	t      *testing.T
	build  string            // folder of our programs
	raw    *tpmtest.Conn     // the chip itself
	tpm    *tpmtest.Recorder // the chip as the programs see it
	spec   string            // spec of tpm
	home   string
	module string
	public string   // file with the key in OpenSSH form
	pin    string   // "": none
	extra  []string // environment
}

// key is the name of the key in every setting.
const key = "bench"

// newChip makes a setting without a key on a swtpm.
func newChip(t *testing.T) *setting {
	t.Helper()
	build, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	s := &setting{t: t, build: build, home: t.TempDir()}
	chip := tpmtest.SWTPM(t)
	s.raw = tpmtest.Dial(t, chip)
	s.tpm = tpmtest.Record(s.raw)
	s.spec = tpmtest.Serve(t, s.tpm)
	link(t, chip, s.spec)
	return s
}

// link lends a served chip the control socket of its swtpm, which tpm2-tss wants to
// see.
func link(t *testing.T, chip, served string) {
	t.Helper()
	path := func(spec string) string { return strings.TrimPrefix(spec, "unix:") + ".ctrl" }
	if err := os.Symlink(path(chip), path(served)); err != nil {
		t.Fatal(err)
	}
}

// newSetting makes one of our keys, with or without a persistent parent.
func newSetting(t *testing.T, persistent bool) *setting {
	t.Helper()
	s := newChip(t)
	if persistent {
		tpmtest.PersistSRK(t, s.raw)
	}
	s.module = filepath.Join(s.build, "tpmkey-pkcs11.so")
	s.public = filepath.Join(s.home, "tpmkey", key+".pub")
	s.run(filepath.Join(s.build, "tpmkey"), "new", key)
	s.tpm.Reset()
	return s
}

// environment is that of a user whose chip has the spec.
func (s *setting) environment(spec string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "XDG_DATA_HOME=" + s.home, "TPMKEY_DEVICE=" + spec}, s.extra...)
}

func (s *setting) command(program string, args ...string) *exec.Cmd {
	command := exec.Command(program, args...)
	command.Env = s.environment(s.spec)
	return command
}

// run returns what the program prints on standard output.
func (s *setting) run(program string, args ...string) string {
	s.t.Helper()
	var stderr strings.Builder
	command := s.command(program, args...)
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s%s", command, err, output, &stderr)
	}
	return string(output)
}

// took is the wall time of a run.
func (s *setting) took(program string, args ...string) time.Duration {
	s.t.Helper()
	start := time.Now()
	s.run(program, args...)
	return time.Since(start)
}

// compile makes a program of one C file.
func compile(t *testing.T, program string, args ...string) {
	t.Helper()
	c := exec.Command("gcc", append([]string{"-O2", "-Wall", "-Wextra", "-Werror", "-o", program}, args...)...)
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, output)
	}
}
