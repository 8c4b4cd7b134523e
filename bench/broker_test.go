//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"
)

// TestBroker prints the table of what lies between clients and the chip, beside tpm2-abrmd in the same run.
func TestBroker(t *testing.T) {
	s := newSite(t, crowd)
	var figures []figure
	for _, measure := range []func(*testing.T) []figure{s.counts, s.speeds, s.inProcess, s.verdict, s.memory, s.starting} {
		figures = append(figures, measure(t)...)
	}
	report(t, "tpm2-abrmd", figures)
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
func (s *site) speeds(t *testing.T) (found []figure) {
	s.sweep(t)
	t.Run("speeds", func(t *testing.T) {
		bare := newSite(t, 1).side(t, raw)
		ours, peer := s.side(t, throughTpmkeyd), newSite(t, crowd).side(t, throughAbrmd)
		var all []slice
		for range slicesOfAll {
			all = append(all, slice{bare.speed(), ours.speed(), peer.speed()})
			t.Logf("%.1f, load %s", all[len(all)-1], load())
		}
		found = compare(all)
	})
	return found
}

func compare(all []slice) []figure {
	of := func(value func(slice) float64) float64 {
		var values []float64
		for _, s := range all {
			values = append(values, value(s))
		}
		return median(values)
	}
	what := func(active string) string {
		return fmt.Sprintf("signatures/s of %d clients over one raw client, %s", crowd, active)
	}
	addedPeer := of(func(s slice) float64 { return s.peer.command - s.raw.command })
	return []figure{
		{"added time per command, through the socket", addedPeer, min(90, addedPeer/2), "us",
			of(func(s slice) float64 { return s.ours.command - s.raw.command })},
		{what(fmt.Sprint(fewActive, " active")), of(func(s slice) float64 { return s.peer.few / s.raw.few }), 0.97, ofRaw,
			of(func(s slice) float64 { return s.ours.few / s.raw.few })},
		{what("all active on 3 slots"), of(func(s slice) float64 { return s.peer.all / s.raw.all }), 0.80, ofRaw,
			of(func(s slice) float64 { return s.ours.all / s.raw.all })},
	}
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
