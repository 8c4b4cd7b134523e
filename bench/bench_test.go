//go:build bench

// Package bench measures what tpmkey must reach, beside tpm2-pkcs11 1.9.0 as it
// was measured on the same kind of machine. Run it by make bench: it needs what
// make build leaves. A figure that is not reached fails.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// figure is one line of the table.
type figure struct {
	what     string
	peer     string // what tpm2-pkcs11 needs
	limit    float64
	unit     string
	measured float64
}

// TestBench prints the table.
func TestBench(t *testing.T) {
	var figures []figure
	for _, measure := range []func(*testing.T) []figure{commands, signatures, listing, loading} {
		figures = append(figures, measure(t)...)
	}
	fmt.Printf("\n%-62s %12s %10s %10s\n", "", "tpm2-pkcs11", "at most", "tpmkey")
	for _, f := range figures {
		fmt.Printf("%-62s %12s %10s %10s%s\n", f.what, f.peer, f.print(f.limit), f.print(f.measured), f.verdict())
		if f.measured > f.limit {
			t.Errorf("%s: %s, must be at most %s", f.what, f.print(f.measured), f.print(f.limit))
		}
	}
}

func (f figure) print(value float64) string {
	switch f.unit {
	case "":
		return fmt.Sprintf("%.0f", value)
	case "ms":
		return fmt.Sprintf("%+.1f ms", value)
	}
	return fmt.Sprintf("%.2f%s", value, f.unit)
}

func (f figure) verdict() string {
	if f.measured > f.limit {
		return "  MISSED"
	}
	return ""
}

// setting is a store with one key and the chip it belongs to.
type setting struct {
	t     *testing.T
	build string            // folder of the programs
	raw   *tpmtest.Conn     // the chip itself
	tpm   *tpmtest.Recorder // the chip as the programs see it
	spec  string            // spec of tpm
	home  string
}

// key is the name of the key in every setting.
const key = "bench"

// newSetting makes a key on a swtpm, with or without a persistent parent.
func newSetting(t *testing.T, persistent bool) *setting {
	t.Helper()
	build, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	if persistent {
		tpmtest.PersistSRK(t, raw)
	}
	s := &setting{t: t, build: build, raw: raw, tpm: tpmtest.Record(raw), home: t.TempDir()}
	s.spec = tpmtest.Serve(t, s.tpm)
	s.run(filepath.Join(build, "tpmkey"), "new", key)
	s.tpm.Reset()
	return s
}

func (s *setting) module() string { return filepath.Join(s.build, "tpmkey-pkcs11.so") }

// public is the key in OpenSSH form.
func (s *setting) public() string { return filepath.Join(s.home, "tpmkey", key+".pub") }

// environment is that of a user whose chip has the spec.
func (s *setting) environment(spec string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "XDG_DATA_HOME=" + s.home, "TPMKEY_DEVICE=" + spec}
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
