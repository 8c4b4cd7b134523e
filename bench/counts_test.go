//go:build bench

package bench

import (
	"fmt"
	"testing"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// counts is how many commands reach the chip for a warm signature of one of several clients with a key each.
func (s *site) counts(t *testing.T) []figure {
	ours, peer := s.countBroker(t, "tpmkeyd", throughTpmkeyd), s.countBroker(t, "tpm2-abrmd", throughAbrmd)
	what := func(active int, chip string) string {
		return fmt.Sprintf("TPM commands for a warm signature, %d of %d clients active, %s", active, crowd, chip)
	}
	return []figure{
		{what: what(crowd, "3 slots"), peer: peer[crowd], limit: 3, unit: "mean", measured: ours[crowd]},
		{what: what(fewActive+1, "chip ours alone"), peer: peer[fewActive+1], limit: 1, unit: "mean", measured: ours[fewActive+1]},
		{what: what(fewActive, "chip shared"), peer: -1, limit: 1, unit: "mean", measured: s.countShared(t)},
	}
}

// rotations is how often each active client signs while commands are counted.
const rotations = 10

// countBroker counts for each number of active clients.
func (s *site) countBroker(t *testing.T, name string, to way) map[int]float64 {
	t.Helper()
	s.sweep(t)
	found := map[int]float64{}
	t.Run("commands of "+name, func(t *testing.T) {
		recorder := tpmtest.Record(tpmtest.Dial(t, s.chip))
		here := s.on(t, tpmtest.Serve(t, recorder))
		link(t, s.chip, here.spec)
		c, signs := s.connect(here, to(here))
		for _, active := range []int{crowd, fewActive + 1} {
			everybody(c[:active], signs, 2) // by now each key was evicted once
			recorder.Reset()
			everybody(c[:active], signs, rotations)
			found[active] = float64(recorder.Count()) / float64(active*rotations)
		}
	})
	return found
}

// countShared counts in a manager that leaves a slot to others.
func (s *site) countShared(t *testing.T) (found float64) {
	t.Helper()
	s.sweep(t)
	t.Run("commands on a shared chip", func(t *testing.T) {
		recorder := tpmtest.Record(tpmtest.Dial(t, s.chip))
		spaces, signs := s.openSpaces(t, recorder, rm.Shared)
		rotate := func(n int) {
			for i := range n * fewActive {
				mustSend(t, spaces[i%fewActive], signs[i%fewActive])
			}
		}
		rotate(2)
		recorder.Reset()
		rotate(rotations)
		found = float64(recorder.Count()) / (fewActive * rotations)
	})
	return found
}
