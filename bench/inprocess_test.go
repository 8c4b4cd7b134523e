//go:build bench

package bench

import (
	"runtime"
	"testing"
	"time"

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
func (s *site) openSpaces(t *testing.T, tpm tpmtest.Sender, sharing rm.Sharing) (spaces []*rm.Space, signs [][]byte) {
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
	response, err := tpm.Send(command)
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := wire.ParseHeader(response); !ok || h.Code != 0 {
		t.Fatalf("response code %#x", h.Code)
	}
	return response
}

// inProcess times a space against the connection below it, as rm/device opens it, command by command.
func (s *site) inProcess(t *testing.T) (found []figure) {
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
		spaces, _ := s.openSpaces(t, chip, rm.Alone)
		var added []float64
		for range rounds {
			below, above := interleaved(t, chip, spaces[0], getRandom())
			added = append(added, float64(above-below)/float64(time.Microsecond))
		}
		t.Logf("in process: %.1f us", added)
		found = []figure{{what: "added time per command, in process", peer: -1, limit: 15, unit: "us", measured: median(added)}}
	})
	return found
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

// verdict times parse and check of a Load.
func (s *site) verdict(t *testing.T) []figure {
	const parent = wire.FixedTPM | wire.FixedParent | wire.UserWithAuth | wire.Restricted | wire.Decrypt
	holder, f := keyHolder{filter.Object{Attributes: parent}}, filter.Default()
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			c, err := wire.Parse(s.loads[0])
			if err != nil {
				b.Fatal(err)
			}
			if d := f.Check(&c, holder); !d.Allowed {
				b.Fatal(d)
			}
		}
	})
	if result.N == 0 {
		t.Fatal("the filter refuses a Load")
	}
	t.Logf("verdict: %s %s", result, result.MemString())
	return []figure{{what: "filter's verdict about a Load of an RSA key, with its parse", peer: -1, limit: 3, unit: "us",
		measured: float64(result.NsPerOp()) / 1000}}
}

// heapOf is what a number of idle clients take of a manager's heap, in bytes for each.
func (s *site) heapOf(t *testing.T, clients int) float64 {
	t.Helper()
	manager := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return kept{tpmtest.Dial(t, s.chip)}, nil }})
	defer manager.Close()
	spaces := make([]*rm.Space, clients)
	before := heap()
	for i := range spaces {
		space, err := manager.Open(rm.Options{UID: uint32(user + i)})
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, space, s.loads[i%crowd])
		spaces[i] = space
	}
	after := heap()
	runtime.KeepAlive(spaces)
	return (after - before) / float64(clients)
}

// heap is what is in use after a collection.
func heap() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
