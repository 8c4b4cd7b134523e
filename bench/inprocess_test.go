//go:build bench

package bench

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"tpmkey.example/bench/table"
	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// kept is a chip that a manager may close, but whose connection is the test's.
type kept struct{ tpmtest.Sender }

func (kept) Close() error { return nil }

// user is some unprivileged principal: nothing is left out for it.
const user = 1000

// openSpaces makes a manager of a chip, and spaces with a key each. It returns them with what they sign with.
func (s *site) openSpaces(t *testing.T, tpm tpmtest.Sender, sharing rm.Sharing) (spaces []tpmtest.Sender, signs [][]byte) {
	t.Helper()
	manager := rm.New(rm.Config{Sharing: sharing, Open: func() (rm.Chip, error) { return kept{tpm}, nil }})
	t.Cleanup(func() { manager.Close() })
	for _, load := range s.loads {
		space, err := manager.Open(rm.Options{UID: user})
		if err != nil {
			t.Fatal(err)
		}
		spaces = append(spaces, space)
		signs = append(signs, signWith(mustSend(t, space, load)))
	}
	return spaces, signs
}

func mustSend(t *testing.T, tpm tpmtest.Sender, command []byte) []byte {
	t.Helper()
	response, err := succeeds(tpm, command)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func succeeds(tpm tpmtest.Sender, command []byte) ([]byte, error) {
	response, err := tpm.Send(command)
	if h, ok := wire.ParseHeader(response); err == nil && (!ok || h.Code != 0) {
		err = fmt.Errorf("response code %#x", h.Code)
	}
	return response, err
}

// inProcess compares spaces with the connection below them, as rm/device opens it.
func (s *site) inProcess(t *testing.T) (found []table.Row) {
	s.sweep(t)
	t.Run("in process", func(t *testing.T) {
		config, err := device.OpenChip(s.chip)
		if err != nil {
			t.Fatal(err)
		}
		chip, err := config.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { chip.Close() })
		below := signWith(mustSend(t, chip, s.loads[0])) // takes a slot
		spaces, signs := s.openSpaces(t, chip, rm.Alone)
		var added, sums []float64
		for range slicesOfAll {
			one, other := interleaved(t, chip, spaces[0], getRandom())
			added = append(added, us(other-one))
			sums = append(sums, sum(t, crowd, spaces[:fewActive], signs)/sum(t, 1, []tpmtest.Sender{chip}, [][]byte{below}))
		}
		found = []table.Row{
			{ID: "between/added-here", Part: table.Between, What: "added time per command, in process", Unit: table.Microseconds, Bound: table.AtMost(15),
				Cells: table.Cells{table.Tpmkey: table.Of(added...)}},
			{ID: "between/here-of-raw", Part: table.Between, What: fmt.Sprintf("signatures of %d threads with %d keys over one raw thread, in process", crowd, fewActive),
				Unit: table.OfRaw, Bound: table.AtLeast(0.97), Cells: table.Cells{table.Tpmkey: table.Of(sums...)}},
		}
	})
	return found
}

// sum is the signatures that threads get together in a second, each on one of the TPMs.
func sum(t *testing.T, threads int, tpms []tpmtest.Sender, signs [][]byte) float64 {
	t.Helper()
	var group sync.WaitGroup
	start := time.Now()
	for i := range threads {
		group.Go(func() {
			for range perSum / threads {
				if _, err := succeeds(tpms[i%len(tpms)], signs[i%len(tpms)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	return perSum / time.Since(start).Seconds()
}

// interleaved is the median times of a command on two TPMs in turn.
func interleaved(t *testing.T, one, other tpmtest.Sender, command []byte) (time.Duration, time.Duration) {
	t.Helper()
	var times [2][]time.Duration
	for i := range 2 * randoms {
		start := time.Now()
		mustSend(t, []tpmtest.Sender{one, other}[i%2], command)
		times[i%2] = append(times[i%2], time.Since(start))
	}
	return median(times[0]), median(times[1])
}

// keyHolder is a caller who has the storage root key and nothing else.
type keyHolder struct{ srk filter.Object }

func (h keyHolder) Object(handle uint32) (filter.Object, bool) { return h.srk, handle == wire.SRK }
func (keyHolder) HoldsSession(uint32) bool                     { return false }
func (keyHolder) SavedSession(uint32) bool                     { return false }
func (keyHolder) Caller() uint32                               { return user }

// verdict times parse and check of a Load, a few hundred microseconds at a time: others on the machine get their turn in few of them.
func (s *site) verdict(t *testing.T) []table.Row {
	const parent, atOnce = wire.FixedTPM | wire.FixedParent | wire.UserWithAuth | wire.Restricted | wire.Decrypt, 200
	holder, f := keyHolder{filter.Object{Attributes: parent}}, filter.Default()
	var each []float64
	for range 20 * slicesOfAll {
		start := time.Now()
		for range atOnce {
			c, err := wire.Parse(s.loads[0])
			if err != nil || !f.Check(&c, holder).Allowed {
				t.Fatal("the filter refuses a Load: ", err)
			}
		}
		each = append(each, us(time.Since(start))/atOnce)
	}
	return []table.Row{{ID: "between/verdict", Part: table.Between, What: "filter's verdict about a Load of an RSA key, with its parse", Unit: table.Microseconds,
		Bound: table.AtMost(3), Cells: table.Cells{table.Tpmkey: table.Of(each...), table.TPM2Abrmd: table.Cannot("it has no filter")}}}
}
