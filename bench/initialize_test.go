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
const callsOfHost = "2000"

// initializing times what the module itself costs a host: its start, and a call that needs no TPM, where Go runs in the host and where the helper
// answers.
func initializing(t *testing.T) []table.Row {
	program := filepath.Join(t.TempDir(), "initialize")
	compile(t, program, "testdata/initialize.c", "-I/usr/include/p11-kit-1", "-ldl")
	modules := newModules(t)
	starts, calls, helper := map[table.Column][]time.Duration{}, map[table.Column][]time.Duration{}, []time.Duration{}
	for range rounds {
		for column, s := range modules {
			start, call := s.initializes(program)
			starts[column], calls[column] = append(starts[column], start), append(calls[column], call)
		}
		helper = append(helper, modules[table.Tpmkey].callsHelper(program))
	}
	return []table.Row{
		{ID: "module/initialize", Part: table.Module, What: "C_Initialize in process", Unit: table.Milliseconds, Bound: table.AtMost(8), Cells: cellsOf(starts, inMS)},
		{ID: "module/call", Part: table.Module, What: "a call without the TPM, in process", Unit: table.Microseconds, Bound: table.AtMost(50), Cells: cellsOf(calls, inUS)},
		{ID: "module/call-helper", Part: table.Module, What: "a call without the TPM, through the helper", Unit: table.Microseconds, Bound: table.AtMost(100),
			Cells: table.Cells{table.Tpmkey: inUS(helper), table.TPM2PKCS11: noHelper, table.SoftHSM2: noHelper}},
	}
}

// noHelper is the cell of modules that leave a forked host to itself.
var noHelper = table.Cannot("it has no helper for hosts that fork")

// initializes is the times of C_Initialize and of a call.
func (s *setting) initializes(program string) (start, call time.Duration) {
	s.t.Helper()
	if _, err := fmt.Sscan(s.run(program, s.module, callsOfHost), &start, &call); err != nil {
		s.t.Fatal(err)
	}
	return start, call
}

// callsHelper is the time of a call in a child of the host. Other modules do not bear to be tried.
func (s *setting) callsHelper(program string) (call time.Duration) {
	s.t.Helper()
	var start, here time.Duration
	if _, err := fmt.Sscan(s.run(program, s.module, callsOfHost, "fork"), &start, &here, &call); err != nil {
		s.t.Fatal(err)
	}
	return call
}
