//go:build vm

package vm

import (
	"slices"
	"testing"
	"time"

	"tpmkey.example/rm/device"
)

// What our node costs beside the kernel's: the same command on both, in turn. The figures are for people to look at.
func TestSpeed(t *testing.T) {
	const rounds = 15
	signTheirs := newNeighbour(t)
	ours, theirs := mustOpen(t, node), mustOpen(t, "/dev/tpmrm0")
	signOurs := newSigning(t, ours)
	broker, err := device.Open(device.DefaultBroker)
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	for _, row := range []struct {
		name         string
		times        int
		ours, theirs func() error
	}{
		{"GetRandom", 10, func() error { _, err := ours.Send(getRandom()); return err }, func() error { _, err := theirs.Send(getRandom()); return err }},
		{"GetRandom by the socket", 10, func() error { _, err := broker.Send(getRandom()); return err }, func() error { _, err := theirs.Send(getRandom()); return err }},
		{"Sign", 2, signOurs.sign, signTheirs.sign},
	} {
		var took [2][]time.Duration
		for range rounds {
			for i, do := range []func() error{row.ours, row.theirs} {
				start := time.Now()
				for range row.times {
					if err := do(); err != nil {
						t.Fatal(err)
					}
				}
				took[i] = append(took[i], time.Since(start)/time.Duration(row.times))
			}
		}
		slices.Sort(took[0])
		slices.Sort(took[1])
		a, b := took[0][rounds/2], took[1][rounds/2]
		t.Logf("figure: TPM2_%s on %s %v, on /dev/tpmrm0 %v, %.2f times as long (medians of %d rounds)", row.name, node, a, b, float64(a)/float64(b), rounds)
	}
}
