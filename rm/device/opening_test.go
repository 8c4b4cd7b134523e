package device

import (
	"errors"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// A device that was opened and never used is given back: swtpm serves the next client only then.
func TestCloseUnused(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	unused, err := Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unused.Close(), unused.Close()); err != nil {
		t.Error(err)
	}
	d, err := Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- random(d) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
		d.Close()
	case <-time.After(10 * time.Second):
		t.Fatal("the chip is still held by a device that was closed")
	}
}
