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

	"tpmkey.example/bench/table"
)

// Go libraries with RSA keys in a TPM, ours first.
var libraries = []table.Column{table.Tpmkey, table.GoTPMTools, table.GoKeyfiles, table.TPMKMS}

// handshakes compares how many TLS handshakes a second a server makes with each library, and which TPM commands one takes.
func handshakes(t *testing.T) (rows []table.Row) {
	program := compileHandshakes(t)
	for _, version := range []string{"1.2", "1.3"} {
		var all []*shaker
		for _, library := range libraries {
			all = append(all, startShaker(t, program, library, version))
		}
		race(all)
		rows = append(rows, rowsOf(version, all)...)
	}
	return rows
}

// mostOverPeers is how much longer a handshake may take than with a library that sends the same one command, and has neither manager nor filter nor checks
// that the chip made no mistake.
const mostOverPeers = 1.1

func rowsOf(version string, all []*shaker) []table.Row {
	what, rate, commands := "TLS "+version+" handshake", table.Cells{}, table.Cells{}
	for _, s := range all {
		rate[s.library] = s.cell(func() table.Cell { return cellOf(s.times, func(d time.Duration) float64 { return 1 / d.Seconds() }) })
		commands[s.library] = s.cell(func() table.Cell { return table.Counts(perRound, s.commands) })
	}
	return []table.Row{
		counted("handshake-"+version, what, 1, commands),
		{ID: "tls/handshakes-" + version, Part: table.TLS, What: what, Unit: table.PerSecond, Cells: rate},
		{ID: "tls/over-" + version, Part: table.TLS, What: what + ": its time over that with the fastest other library", Unit: table.Times, Bound: table.AtMost(mostOverPeers),
			Cells: table.Cells{table.Tpmkey: all[0].overFastest(all[1:])}},
	}
}

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
	library  table.Column
	chip     *setting
	orders   io.WriteCloser
	results  *bufio.Reader
	said     bytes.Buffer
	ended    func() error
	times    []time.Duration // medians of rounds
	commands []string        // to the TPM, of the last round
	failed   string          // why it can do no handshake
}

func startShaker(t *testing.T, program string, library table.Column, version string) *shaker {
	t.Helper()
	s := &shaker{library: library, chip: newChip(t)}
	c := exec.Command(program, string(library), version, strings.TrimPrefix(s.chip.spec, "unix:"))
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
				s.commands = sent(s.chip.tpm)
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
		s.failed = strings.TrimPrefix(strings.Join(strings.Split(strings.TrimSpace(s.said.String()), "\n"), "; "), "handshakes: ")
	}
	return time.Duration(took)
}

// cell is why the library can do no handshake, or the figure.
func (s *shaker) cell(figure func() table.Cell) table.Cell {
	if s.failed != "" {
		return table.Cannot(s.failed)
	}
	return figure()
}

// overFastest compares with the peer over which it is slowest.
func (s *shaker) overFastest(peers []*shaker) table.Cell {
	most := table.Cannot("there is no other library to compare with")
	for _, peer := range peers {
		if over := s.over(peer); over.Figure != nil && (most.Figure == nil || over.Median > most.Median) {
			most = over
		}
	}
	return most
}

// over is what rounds took, over those of a peer, where both can do handshakes.
func (s *shaker) over(peer *shaker) table.Cell {
	if s.failed+peer.failed != "" {
		return table.Cannot(s.failed + peer.failed)
	}
	var ratios []float64
	for i := range s.times {
		ratios = append(ratios, float64(s.times[i])/float64(peer.times[i]))
	}
	return table.Of(ratios...)
}
