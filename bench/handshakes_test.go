//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Go libraries with RSA keys in a TPM, ours first.
var libraries = []string{"tpmkey", "go-tpm-tools", "go-tpm-keyfiles", "tpmkms"}

// TestHandshakes compares how many TLS handshakes a second a server makes with each library, and how many TPM commands one takes.
func TestHandshakes(t *testing.T) {
	program := compileHandshakes(t)
	fmt.Printf("\n%-20s %6s %14s %18s\n", "library", "TLS", "handshakes/s", "commands for each")
	for _, version := range []string{"1.2", "1.3"} {
		var all []*shaker
		for _, library := range libraries {
			all = append(all, startShaker(t, program, library, version))
		}
		race(all)
		for _, s := range all {
			fmt.Printf("%-20s %6s %s\n", s.library, version, s.result())
		}
		if ours := all[0]; ours.failed != "" || ours.perHandshake != 1 {
			t.Errorf("TLS %s: %s", version, ours.result())
		}
		for _, peer := range all[1:] {
			if slower := all[0].over(peer); slower > mostOverPeers {
				t.Errorf("TLS %s: %.3f times what %s needs", version, slower, peer.library)
			}
		}
	}
}

// mostOverPeers is how much longer a handshake may take than with a library that sends the same one command, and has neither manager nor filter nor checks
// that the chip made no mistake.
const mostOverPeers = 1.1

func compileHandshakes(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "handshakes")
	c := exec.Command("go", "build", "-o", program, ".")
	c.Dir = "handshakes"
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

// A shaker is a running program that makes handshakes with one library, on a chip of its own.
type shaker struct {
	library      string
	chip         *setting
	orders       io.WriteCloser
	results      *bufio.Reader
	said         bytes.Buffer
	ended        func() error
	times        []time.Duration // medians of rounds
	perHandshake float64         // TPM commands
	failed       string          // why it can do no handshake
}

func startShaker(t *testing.T, program, library, version string) *shaker {
	t.Helper()
	s := &shaker{library: library, chip: newChip(t)}
	c := exec.Command(program, library, version, strings.TrimPrefix(s.chip.spec, "unix:"))
	c.Stderr = &s.said
	var err error
	if s.orders, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	results, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.results, s.ended = bufio.NewReader(results), c.Wait
	t.Cleanup(func() { s.orders.Close(); c.Wait() })
	return s
}

// race has all take turns, because the machine's speed drifts.
func race(all []*shaker) {
	for _, s := range all {
		s.shake(1) // loads the key, or fails
	}
	for range rounds {
		for _, s := range all {
			if s.failed == "" {
				s.chip.tpm.Reset()
				s.times = append(s.times, s.shake(perRound))
				s.perHandshake = float64(s.chip.tpm.Count()) / perRound
			}
		}
	}
}

// shake makes n handshakes and gives the median of their times.
func (s *shaker) shake(n int) time.Duration {
	fmt.Fprintln(s.orders, n)
	var took int64
	if _, err := fmt.Fscanln(s.results, &took); err != nil {
		s.ended()
		s.failed = strings.TrimSpace(s.said.String())
	}
	return time.Duration(took)
}

// over is the median of what rounds took, over those of a peer; 0 where it can do no handshake.
func (s *shaker) over(peer *shaker) float64 {
	if s.failed+peer.failed != "" {
		return 0
	}
	var ratios []float64
	for i := range s.times {
		ratios = append(ratios, float64(s.times[i])/float64(peer.times[i]))
	}
	return median(ratios)
}

func (s *shaker) result() string {
	if s.failed != "" {
		return fmt.Sprintf("%14s  %s", "none:", s.failed)
	}
	return fmt.Sprintf("%14.0f %18.1f", 1/median(s.times).Seconds(), s.perHandshake)
}
