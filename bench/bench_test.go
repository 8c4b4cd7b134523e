//go:build bench

// Package bench measures what tpmkey must reach, and in the same run what
// tpm2-pkcs11 and tpm2-abrmd need for it on the same emulator, and SoftHSM2, which
// has its keys in files and computes for itself. Run it by make bench:
// it needs what make build leaves. A figure that is not reached fails.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// figure is one line of a table.
type figure struct {
	what     string
	peer     float64 // less than 0: not measured
	limit    float64
	unit     string
	measured float64
}

// compared is a figure beside what SoftHSM2 needs for the same: without a TPM, a
// measure of what the interface alone costs.
type compared struct {
	figure
	soft float64 // less than 0: not measured
}

// ofRaw is the unit of what is left of the raw chip's speed: the limit is the least, not the most.
const ofRaw = "of raw"

// TestBench prints the table of what users of the module see.
func TestBench(t *testing.T) {
	var figures []compared
	for _, measure := range []func(*testing.T) []compared{commands, signatures, listing, loading, initializing} {
		figures = append(figures, measure(t)...)
	}
	reportBeside(t, []string{"tpm2-pkcs11", "SoftHSM2"}, figures)
}

// report prints a table with one peer.
func report(t *testing.T, peer string, figures []figure) {
	var rows []compared
	for _, f := range figures {
		rows = append(rows, compared{f, -1})
	}
	reportBeside(t, []string{peer}, rows)
}

// reportBeside prints a table, and fails for every figure that is missed.
func reportBeside(t *testing.T, peers []string, figures []compared) {
	fmt.Printf("\n%-78s%s %14s %10s\n", "", columns(peers), "", "tpmkey")
	for _, f := range figures {
		theirs := []string{f.printPeer(f.peer), f.printPeer(f.soft)}[:len(peers)]
		fmt.Printf("%-78s%s %14s %10s%s\n", f.what, columns(theirs), f.bound(), f.print(f.measured), f.verdict())
		if f.missed() {
			t.Errorf("%s: %s, must be %s", f.what, f.print(f.measured), f.bound())
		}
	}
	fmt.Printf("load average %s on %d processors\n", load(), runtime.NumCPU())
}

func columns(of []string) (line string) {
	for _, column := range of {
		line += fmt.Sprintf(" %12s", column)
	}
	return line
}

// load is how busy the machine is. Where others take the processors, times say little.
func load() string {
	average, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(average), " ")
	return first
}

func (f figure) missed() bool {
	if f.unit == ofRaw {
		return f.measured < f.limit
	}
	return f.measured > f.limit
}

func (f figure) bound() string {
	if f.unit == ofRaw {
		return "at least " + f.print(f.limit)
	}
	return "at most " + f.print(f.limit)
}

func (f figure) printPeer(value float64) string {
	if value < 0 {
		return ""
	}
	return f.print(value)
}

func (f figure) print(value float64) string {
	switch f.unit {
	case "":
		return fmt.Sprintf("%.0f", value)
	case "mean":
		return fmt.Sprintf("%.2f", value)
	case "ms", "us":
		return fmt.Sprintf("%+.1f %s", value, f.unit)
	case "KiB":
		return fmt.Sprintf("%.1f KiB", value)
	case ofRaw:
		return fmt.Sprintf("%.3f", value)
	}
	return fmt.Sprintf("%.2f%s", value, f.unit)
}

func (f figure) verdict() string {
	if f.missed() {
		return "  MISSED"
	}
	return ""
}

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

func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
