package main

import (
	"log"
	"syscall"
	"testing"
	"time"

	"tpmkey.example/rm"
)

// A signal pardons, and the log and the file say so.
func TestPardonOnSignal(t *testing.T) {
	j, kept := &journal{}, state{t.TempDir()}
	logger := log.New(j, "", 0)
	memory := rm.Memory{Lockout: map[uint32]time.Time{1000: time.Now().Add(time.Hour), 7: time.Now().Add(time.Hour)}}
	c := &chips{named: []rm.Config{{Memory: memory, Remember: kept.remember(logger, 0)}}}
	defer c.close()
	if err := c.prepare(); err != nil {
		t.Fatal(err)
	}
	stop := pardonOnSignal(c, logger)
	defer stop()
	for _, want := range []string{
		"SIGUSR1: no longer refused keys with PINs that the TPM counts: uid 7, 1000\n",
		"SIGUSR1: nobody was refused keys with PINs that the TPM counts\n",
	} {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		j.await(t, want)
	}
	if after, err := kept.memory(0); err != nil || len(after.Lockout) > 0 {
		t.Errorf("kept is %v, %v", after.Lockout, err)
	}
}
