//go:build bench

package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"tpmkey.example/bench/table"
)

// callsOfHost is how many calls a host makes for one median.
const callsOfHost = 2000

// initializing times what the module itself costs a host: its start, and a call that needs no TPM, where Go runs in the host and where the helper
// answers. Of others only the start can be had: they do not bear the fork.
func initializing(t *testing.T) []table.Row {
	s, peer, soft := newSetting(t, true), newPeer(t), newSoft(t)
	program := filepath.Join(t.TempDir(), "initialize")
	compile(t, program, "testdata/initialize.c", "-I/usr/include/p11-kit-1", "-ldl")
	var start, peers, softs, here, helper []time.Duration
	for range rounds {
		var times [3]time.Duration
		if _, err := fmt.Sscan(s.run(program, s.module, fmt.Sprint(callsOfHost)), &times[0], &times[1], &times[2]); err != nil {
			t.Fatal(err)
		}
		start, here, helper = append(start, times[0]), append(here, times[1]), append(helper, times[2])
		peers, softs = append(peers, peer.initializes(program)), append(softs, soft.initializes(program))
	}
	return []table.Row{
		{ID: "module/initialize", Part: table.Module, What: "C_Initialize in process", Unit: table.Milliseconds, Bound: table.AtMost(8),
			Cells: table.Cells{table.Tpmkey: inMS(start), table.TPM2PKCS11: inMS(peers), table.SoftHSM2: inMS(softs)}},
		{ID: "module/call", Part: table.Module, What: "a call without the TPM, in process", Unit: table.Microseconds, Bound: table.AtMost(50),
			Cells: table.Cells{table.Tpmkey: inUS(here)}},
		{ID: "module/call-helper", Part: table.Module, What: "a call without the TPM, through the helper", Unit: table.Microseconds, Bound: table.AtMost(100),
			Cells: table.Cells{table.Tpmkey: inUS(helper), table.TPM2PKCS11: noFork, table.SoftHSM2: noFork}},
	}
}

// noFork is the cell of modules that have nothing for a child of the host.
var noFork = table.Cannot("a child of the host breaks it, or has nothing")

// initializes is the time of C_Initialize alone.
func (s *setting) initializes(program string) (took time.Duration) {
	s.t.Helper()
	if _, err := fmt.Sscan(s.run(program, s.module), &took); err != nil {
		s.t.Fatal(err)
	}
	return took
}
