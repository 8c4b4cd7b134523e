package main

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStatus(t *testing.T) {
	const text = "Name:\tsshd\nTgid:\t4711\nPid:\t4712\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\nCapEff:\t000001ffffffffff\n"
	s := status(text)
	for _, row := range []struct {
		name string
		bit  int
		want bool
	}{
		{"SigPnd", 8, false}, {"ShdPnd", 8, true}, {"ShdPnd", 7, false}, {"CapEff", unix.CAP_SYS_ADMIN, true}, {"CapEff", 63, false}, {"CapBnd", 1, false}, {"Name", 1, false},
	} {
		if got := s.bit(row.name, row.bit); got != row.want {
			t.Errorf("bit %d of %s: %v", row.bit, row.name, got)
		}
	}
	if got := s.field("Tgid"); got != "4711" {
		t.Errorf("Tgid %q", got)
	}
}

func TestProcessNumber(t *testing.T) {
	if got := processNumber(int32(unix.Gettid())); got != int32(os.Getpid()) {
		t.Errorf("our thread is of process %d, not %d", got, os.Getpid())
	}
	if got := processNumber(0); got != 0 {
		t.Errorf("a thread that is not to be seen is of process %d", got)
	}
	if isKilled(int32(os.Getpid())) || isKilled(0) {
		t.Error("somebody was killed")
	}
}

// The test in a virtual machine has the other rows: uid 0 without rights, and with a container's rights.
func TestIsRoot(t *testing.T) {
	if isRoot(1000, int32(os.Getpid())) {
		t.Error("uid 1000 is root")
	}
	if isRoot(0, 0) {
		t.Error("a thread that is not to be seen is root")
	}
}
