//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"

	"tpmkey.example/bench/table"
)

// broker measures what lies between clients and the chip, beside tpm2-abrmd.
func broker(t *testing.T) (rows []table.Row) {
	s := newSite(t, crowd)
	for _, measure := range []func(*testing.T) []table.Row{s.counts, s.speeds, s.inProcess, s.verdict, s.memory, s.starting} {
		rows = append(rows, measure(t)...)
	}
	return rows
}

const (
	fewActive   = 2          // slots - 1
	slicesOfAll = 5 * rounds // each so short that the machine's speed seldom changes in it
	randoms     = 50         // commands of a slice
	perSum      = 32         // signatures of a slice, of all active clients together
)

// side is one way to a chip with its clients, each of which has a key loaded.
type side struct {
	clients []*client
	signs   [][]byte
}

// speed is what a side sees in one slice.
type speed struct {
	command  float64 // of TPM2_GetRandom, microseconds
	few, all float64 // signatures a second of all clients together: when few of them are active, and when all are
}

// slice is what was measured at about the same time.
type slice struct{ raw, ours, peer speed }

// speeds compares the ways, each on a swtpm of its own, because a swtpm serves one connection and each way keeps its own open.
func (s *site) speeds(t *testing.T) (found []table.Row) {
	s.sweep(t)
	t.Run("speeds", func(t *testing.T) {
		bare := newSite(t, 1).side(t, raw)
		ours, peer := s.side(t, throughTpmkeyd), newSite(t, crowd).side(t, throughAbrmd)
		var all run
		for range slicesOfAll {
			all = append(all, slice{bare.speed(), ours.speed(), peer.speed()})
			t.Logf("%.1f, load %s", all[len(all)-1], load())
		}
		found = all.rows()
	})
	return found
}

// A run is what was measured in all slices.
type run []slice

func (all run) rows() []table.Row {
	few, every := func(s speed) float64 { return s.few }, func(s speed) float64 { return s.all }
	added := all.added()
	return []table.Row{
		{ID: "between/command", Part: table.Between, What: "TPM2_GetRandom of 16 bytes", Unit: table.Microseconds, Cells: all.sides(func(s speed) float64 { return s.command })},
		{ID: "between/added", Part: table.Between, What: "added time per command, through the socket", Unit: table.Microseconds,
			Bound: table.AtMost(min(90, added[table.TPM2Abrmd].Median/2)), Cells: added},
		{ID: "between/few", Part: table.Between, What: signaturesOf(fewActive), Unit: table.PerSecond, Cells: all.sides(few)},
		{ID: "between/few-of-raw", Part: table.Between, What: signaturesOf(fewActive) + " over one raw client", Unit: table.OfRaw, Bound: table.AtLeast(0.97), Cells: all.ofRaw(few)},
		{ID: "between/all", Part: table.Between, What: signaturesOf(crowd), Unit: table.PerSecond, Cells: all.sides(every)},
		{ID: "between/all-of-raw", Part: table.Between, What: signaturesOf(crowd) + " over one raw client", Unit: table.OfRaw, Bound: table.AtLeast(0.80), Cells: all.ofRaw(every)},
	}
}

func (all run) of(value func(slice) float64) table.Cell {
	var values []float64
	for _, s := range all {
		values = append(values, value(s))
	}
	return table.Of(values...)
}

// sides is what each side sees.
func (all run) sides(seen func(speed) float64) table.Cells {
	return table.Cells{
		table.Tpmkey:    all.of(func(s slice) float64 { return seen(s.ours) }),
		table.TPM2Abrmd: all.of(func(s slice) float64 { return seen(s.peer) }),
		table.Raw:       all.of(func(s slice) float64 { return seen(s.raw) }),
	}
}

// ofRaw is the part of what the raw side sees, within slices.
func (all run) ofRaw(seen func(speed) float64) table.Cells {
	return table.Cells{
		table.Tpmkey:    all.of(func(s slice) float64 { return seen(s.ours) / seen(s.raw) }),
		table.TPM2Abrmd: all.of(func(s slice) float64 { return seen(s.peer) / seen(s.raw) }),
	}
}

// added is how much longer a command takes than on the raw side, within slices.
func (all run) added() table.Cells {
	return table.Cells{
		table.Tpmkey:    all.of(func(s slice) float64 { return s.ours.command - s.raw.command }),
		table.TPM2Abrmd: all.of(func(s slice) float64 { return s.peer.command - s.raw.command }),
	}
}

func signaturesOf(active int) string {
	return fmt.Sprintf("signatures of %d clients, %d active, on 3 slots", crowd, active)
}

// side connects a client for each of the site's keys.
func (s *site) side(t *testing.T, to way) side {
	t.Helper()
	here := s.on(t, s.chip)
	clients, signs := s.connect(here, to(here))
	return side{clients, signs}
}

func (s side) speed() (found speed) {
	s.clients[0].order(randoms, getRandom())
	took, _ := s.clients[0].result()
	found.command = float64(took) / float64(time.Microsecond)
	found.few = together(s.clients[:min(fewActive, len(s.clients))], s.signs)
	found.all = together(s.clients, s.signs)
	return found
}

// together has clients sign at once, and is how many signatures they get in a second.
func together(clients []*client, signs [][]byte) float64 {
	everybody(clients, signs, 1)
	start := time.Now()
	everybody(clients, signs, perSum/len(clients))
	return perSum / time.Since(start).Seconds()
}

// everybody has each client sign n times.
func everybody(clients []*client, signs [][]byte, n int) {
	for i, c := range clients {
		c.order(n, signs[i])
	}
	for _, c := range clients {
		c.result()
	}
}
