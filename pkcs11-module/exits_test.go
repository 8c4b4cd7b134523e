package main

import (
	"context"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// attempts are how often a host may be too slow: it waits no longer than a second at its end.
const attempts = 3

// A host that ends without C_Finalize leaves nothing on a chip that nobody else looks after.
func TestExits(t *testing.T) {
	for _, mode := range []string{"returns", "threads", "finalized", "denied"} {
		t.Run(mode, func(t *testing.T) {
			var leaks []string
			for range attempts {
				if leaks = exitOf(t, newSetting(t, true), mode, 0); len(leaks) == 0 {
					return
				}
			}
			t.Errorf("left in the chip: %v", leaks)
		})
	}
}

// exitOf wants a host to end well, and gives what it has left in the chip.
func exitOf(t *testing.T, s *setting, mode string, argument int) (leaks []string) {
	t.Helper()
	s.runHost(t, "exits", mode, argument)
	handles, err := tpmtest.Leaks(s.tpm)
	if err != nil {
		t.Fatal(err)
	}
	for _, handle := range handles {
		leaks = append(leaks, strconv.FormatUint(uint64(handle), 16))
	}
	return leaks
}

// A child's end is not the parent's.
func TestChildExits(t *testing.T) { newShared(t).runHost(t, "exits", "child", 0) }

// A host whose signal handler calls exit, wherever that interrupts a call or malloc, ends.
func TestExitInHandler(t *testing.T) {
	s := newShared(t)
	for mode, runs := range map[string]int{"handler": 40, "heap": 8} {
		for i := range runs {
			s.endsInTime(t, mode, 100+i*173)
		}
	}
}

func (s *setting) endsInTime(t *testing.T, mode string, microseconds int) {
	t.Helper()
	hangs, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	c := exec.CommandContext(hangs, hostInC(t, "exits"), module(t), mode, strconv.Itoa(microseconds))
	c.Env = s.environment()
	if output, err := c.CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("%s: %v\n%s", mode, err, output)
	}
}
