//go:build bench

// Package bench measures what tpmkey must reach, and in the same run what
// tpm2-pkcs11 and tpm2-abrmd need for it on the same emulator, what other Go
// libraries need, and SoftHSM2, which has its keys in files and computes for
// itself. Run it by make bench: it needs what make build leaves. A figure that is
// not reached fails.
package bench

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tpmkey.example/bench/table"
)

// measures are what is measured, one after the other.
var measures = []struct {
	name string
	rows func(*testing.T) []table.Row
}{
	{"commands", commands},
	{"signatures", signatures},
	{"logins", logins},
	{"listing", listing},
	{"loading", loading},
	{"initializing", initializing},
	{"keys", manyKeys},
	{"broker", broker},
	{"handshakes", handshakes},
}

// TestBench measures all, writes the table, and fails for each bound that is missed.
func TestBench(t *testing.T) {
	found := &table.Table{Machine: machine(t)}
	for _, m := range measures {
		t.Run(m.name, func(t *testing.T) { found.Rows = append(found.Rows, m.rows(t)...) })
	}
	found.Rows = append(found.Rows, table.Model(found.Rows)...)
	found.Machine = append(found.Machine, table.Fact{Name: "load average after", Value: load()})
	write(t, found)
	for _, r := range found.Rows {
		if r.Missed() {
			t.Errorf("%s, %s: %s %s, must be %s", r.ID, r.What, r.Cells[table.Tpmkey], r.Unit, r.Bound)
		}
	}
}

// written is where the table goes.
const written = "../build/bench"

// write prints the table, and puts it into files unless parts are left out by -run.
func write(t *testing.T, found *table.Table) {
	t.Helper()
	fmt.Println()
	if err := found.WriteText(os.Stdout); err != nil {
		t.Error(err)
	}
	if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return
	}
	if err := os.MkdirAll(written, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "table.txt", found.WriteText)
	writeFile(t, "table.json", found.WriteJSON)
	writeFile(t, "picture.svg", found.WritePicture)
}

func writeFile(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	file, err := os.Create(filepath.Join(written, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := write(file); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// inMS is the cell of what rounds took, in milliseconds.
func inMS(rounds []time.Duration) table.Cell { return cellOf(rounds, ms) }

// inUS is the same in microseconds.
func inUS(rounds []time.Duration) table.Cell { return cellOf(rounds, us) }

func cellOf(rounds []time.Duration, in func(time.Duration) float64) table.Cell {
	var values []float64
	for _, d := range rounds {
		values = append(values, in(d))
	}
	return table.Of(values...)
}

// cellsOf has a cell for whom there are rounds.
func cellsOf(rounds map[table.Column][]time.Duration, in func([]time.Duration) table.Cell) table.Cells {
	cells := table.Cells{}
	for column, times := range rounds {
		cells[column] = in(times)
	}
	return cells
}
