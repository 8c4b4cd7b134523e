//go:build bench

package bench

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// callsOfHost is how many calls a host makes for one median.
const callsOfHost = 2000

// initializing times what the module itself costs a host: its start, and a call that needs no TPM, where Go runs in the host and where the helper
// answers. Of others only the start can be had: they do not bear the fork.
func initializing(t *testing.T) []compared {
	s, peer, soft := newSetting(t, true), newPeer(t), newSoft(t)
	program := filepath.Join(t.TempDir(), "initialize")
	output, err := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-I/usr/include/p11-kit-1", "-o", program, "testdata/initialize.c", "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var start, peers, softs, here, helper []time.Duration
	for range rounds {
		var times [3]time.Duration
		if _, err := fmt.Sscan(s.run(program, s.module, fmt.Sprint(callsOfHost)), &times[0], &times[1], &times[2]); err != nil {
			t.Fatal(err)
		}
		start, here, helper = append(start, times[0]), append(here, times[1]), append(helper, times[2])
		peers, softs = append(peers, peer.initializes(program)), append(softs, soft.initializes(program))
	}
	return []compared{
		{figure{"C_Initialize in process", ms(median(peers)), 8, "ms", ms(median(start))}, ms(median(softs))},
		{figure{"a call without the TPM, in process", -1, 50, "us", median(here).Seconds() * 1e6}, -1},
		{figure{"a call without the TPM, through the helper", -1, 100, "us", median(helper).Seconds() * 1e6}, -1},
	}
}

// initializes is the time of C_Initialize alone.
func (s *setting) initializes(program string) (took time.Duration) {
	s.t.Helper()
	if _, err := fmt.Sscan(s.run(program, s.module), &took); err != nil {
		s.t.Fatal(err)
	}
	return took
}
