package rm_test

import (
	"runtime"
	"testing"

	"tpmkey.example/rm"
)

// Clients that come and go while the chip is busy leave nothing behind that waits for a turn.
func TestClientsThatComeAndGoOnABusyChip(t *testing.T) {
	below := newStuck()
	m, _, result := hanging(t, below, below.asked)
	before := runtime.NumGoroutine()
	for range 1000 {
		s, err := m.Open(rm.Options{UID: 2})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	if more := runtime.NumGoroutine() - before; more > 10 {
		t.Errorf("%d goroutines wait for clients that are gone", more)
	}
	below.Close()
	<-result
	m.Close()
}
