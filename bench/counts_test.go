//go:build bench

package bench

import (
	"fmt"
	"testing"

	"tpmkey.example/bench/table"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// counts is which commands reach the chip for a warm signature of one of several clients with a key each.
func (s *site) counts(t *testing.T) []table.Row {
	ours, peer := s.countBroker(t, "tpmkeyd", throughTpmkeyd), s.countBroker(t, "tpm2-abrmd", throughAbrmd)
	what := func(active int, chip string) string {
		return fmt.Sprintf("warm signature, %d of %d clients active, %s", active, crowd, chip)
	}
	return []table.Row{
		counted("clients", what(crowd, "3 slots"), 3, table.Cells{table.Tpmkey: ours[crowd], table.TPM2Abrmd: peer[crowd]}),
		counted("clients-alone", what(fewActive+1, "chip ours alone"), 1, table.Cells{table.Tpmkey: ours[fewActive+1], table.TPM2Abrmd: peer[fewActive+1]}),
		counted("clients-shared", what(fewActive, "chip shared"), 1, table.Cells{table.Tpmkey: s.countShared(t), table.TPM2Abrmd: table.Cannot("it needs the chip for itself")}),
	}
}

// rotations is how often each active client signs while commands are counted.
const rotations = 10

// countBroker counts for each number of active clients.
func (s *site) countBroker(t *testing.T, name string, to way) map[int]table.Cell {
	t.Helper()
	s.sweep(t)
	found := map[int]table.Cell{}
	t.Run("commands of "+name, func(t *testing.T) {
		recorder := tpmtest.Record(tpmtest.Dial(t, s.chip))
		here := s.on(t, tpmtest.Serve(t, recorder))
		link(t, s.chip, here.spec)
		c, signs := s.connect(here, to(here))
		for _, active := range []int{crowd, fewActive + 1} {
			everybody(c[:active], signs, 2) // by now each key was evicted once
			found[active] = counting(recorder, active*rotations, func() { everybody(c[:active], signs, rotations) })
		}
	})
	return found
}

// countShared counts in a manager that leaves a slot to others.
func (s *site) countShared(t *testing.T) (found table.Cell) {
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
		recorder.Reset() // at once: what is not used for a while is given back to others
		rotate(rotations)
		found = table.Counts(fewActive*rotations, sent(recorder))
	})
	return found
}
