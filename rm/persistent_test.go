package rm_test

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A chip that has no room for a moment to read the storage root key has one all the same: the next command finds it.
func TestPersistentAfterAWarning(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	tpmtest.PersistSRK(t, raw)
	srk, err := tpm2.ReadPublic{ObjectHandle: tpmtest.SRKHandle}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	below := tpmtest.Func(func(command []byte) ([]byte, error) {
		if full.Load() && tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) == tpm2.TPMCCReadPublic {
			return wire.ErrorResponse(tpm2.TPMRCObjectMemory), nil
		}
		return raw.Send(command)
	})
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{below}, nil }})
	defer m.Close()
	s, err := m.Open(rm.Options{UID: 1})
	if err != nil {
		t.Fatal(err)
	}
	parent := tpm2.AuthHandle{Handle: tpmtest.SRKHandle, Name: srk.Name, Auth: tpm2.PasswordAuth(nil)}
	full.Store(true)
	if err := create(s, parent); err == nil {
		t.Error("a key was made below what could not be read")
	}
	full.Store(false)
	if err := create(s, parent); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}
