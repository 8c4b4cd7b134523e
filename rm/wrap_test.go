package rm_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A closing chip counts how often it is closed.
type closing struct {
	tpmtest.Sender
	closed int
}

func (c *closing) Close() error {
	c.closed++
	return nil
}

// A raw chip behind Wrap has room for more keys than slots, takes what no filter lets through, and is left empty, and open until the end.
func TestWrap(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		raw := &closing{Sender: tpmtest.Dial(t, spec)}
		w, err := rm.Wrap(raw)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if _, err := (tpm2.PCRRead{PCRSelectionIn: tpm2.TPMLPCRSelection{}}).Execute(w); err != nil {
			t.Errorf("read PCRs: %v", err)
		}
		var keys []*tpm2.CreatePrimaryResponse
		for range 5 {
			key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(w)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if leaks := awaitEmpty(t, raw); len(leaks) > 0 {
			t.Errorf("on the chip while nobody uses it: %x", leaks)
		}
		for _, key := range keys {
			if _, err := (tpm2.ReadPublic{ObjectHandle: key.ObjectHandle}).Execute(w); err != nil {
				t.Errorf("handle 0x%x: %v", uint32(key.ObjectHandle), err)
			}
		}
		if raw.closed > 0 {
			t.Error("the chip was closed")
		}
		if err := errors.Join(w.Close(), w.Close()); err != nil || raw.closed != 1 {
			t.Errorf("closed %d times, %v", raw.closed, err)
		}
		if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) > 0 {
			t.Errorf("left on the chip: %x, %v", leaks, err)
		}
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(w); !errors.Is(err, rm.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// awaitEmpty gives what is still on the chip when the manager should have given it back long ago.
func awaitEmpty(t *testing.T, raw tpmtest.Sender) (leaks []tpm2.TPMHandle) {
	t.Helper()
	for range 600 {
		var err error
		if leaks, err = tpmtest.Leaks(raw); err != nil || len(leaks) == 0 {
			return leaks
		}
		time.Sleep(50 * time.Millisecond)
	}
	return leaks
}
