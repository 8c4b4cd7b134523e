package main

import (
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// When tpmkeyd could not ask its chip, the error says so in words.
func TestDeviceWithoutChip(t *testing.T) {
	absent := tpmtest.Func(func([]byte) ([]byte, error) {
		return []byte{0x80, 1, 0, 0, 0, 10, 0, 0x0B, 0, 0x0A}, nil // TSS2_BASE_RC_IO_ERROR of a manager
	})
	expectFailure(t, command(t, "broker:"+socketPath(tpmtest.Serve(t, absent)), t.TempDir(), "device"), "tpmkeyd could not ask the chip, and its log says why")
}
