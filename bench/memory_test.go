//go:build bench

package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"

	"tpmkey.example/bench/table"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// idlers is how many clients are there at once when their memory is measured. Root alone may have more connections than a user's 256.
func idlers() int {
	if os.Getuid() == 0 {
		return 1000
	}
	return 250
}

// idlersOfPeer is how many clients tpm2-abrmd has: it takes 27 at once.
const idlersOfPeer = 20

// memory is what an idle client with a key costs: in the process of the broker, and of that in the manager.
func (s *site) memory(t *testing.T) []table.Row {
	n := idlers()
	var process, heap, peer table.Cell
	s.sweep(t)
	t.Run("memory of tpmkeyd", func(t *testing.T) { process = table.Of(s.resident(t, n)) })
	s.sweep(t)
	t.Run("memory of tpm2-abrmd", func(t *testing.T) { peer = table.Of(s.residentPeer(t)) })
	s.sweep(t)
	t.Run("memory of rm", func(t *testing.T) { heap = table.Of(s.heapOf(t, n) / 1024) })
	return []table.Row{
		{ID: "between/memory", Part: table.Between, What: fmt.Sprintf("memory for each of %d idle clients with a key, of tpm2-abrmd %d", n, idlersOfPeer), Unit: table.KiB,
			Bound: table.AtMost(48), Cells: table.Cells{table.Tpmkey: process, table.TPM2Abrmd: peer}},
		{ID: "between/heap", Part: table.Between, What: "of that the heap of its manager", Unit: table.KiB, Bound: table.AtMost(48), Cells: table.Cells{table.Tpmkey: heap}},
	}
}

// resident is what tpmkeyd grows by for each client, in KiB.
func (s *site) resident(t *testing.T, clients int) float64 {
	t.Helper()
	here := s.on(t, s.chip)
	where, daemon := here.startDaemon()
	idle := func(i int) { mustSend(t, tpmtest.Dial(t, where), s.loads[i%crowd]) }
	idle(0)
	before := rss(t, daemon.Process.Pid)
	for i := range clients {
		idle(i)
	}
	return (rss(t, daemon.Process.Pid) - before) / float64(clients)
}

// residentPeer is what tpm2-abrmd grows by, in KiB.
func (s *site) residentPeer(t *testing.T) float64 {
	t.Helper()
	here := s.on(t, s.chip)
	broker := here.startPeerBroker()
	idle := func(i int) { here.startClient(s.client, abrmd).load(s.loads[i%crowd]) }
	idle(0)
	before := rss(t, broker.Process.Pid)
	for i := range idlersOfPeer {
		idle(i)
	}
	return (rss(t, broker.Process.Pid) - before) / idlersOfPeer
}

// rss is VmRSS of a process in KiB (proc(5)).
func rss(t *testing.T, pid int) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var resident float64
	_, line, _ := bytes.Cut(status, []byte("VmRSS:"))
	if _, err := fmt.Sscan(string(line), &resident); err != nil {
		t.Fatal("VmRSS: ", err)
	}
	return resident
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
