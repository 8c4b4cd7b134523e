package main

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// answering is a TPM that answers each command code with a response code, 0 if it
// is not listed.
func answering(codes map[uint32]uint32) *tpmtest.Recorder {
	return tpmtest.Record(tpmtest.Func(func(command []byte) ([]byte, error) {
		response := []byte{0x80, 0x01, 0, 0, 0, 12}
		response = binary.BigEndian.AppendUint32(response, codes[binary.BigEndian.Uint32(command[6:])])
		return append(response, 0, 0), nil
	}))
}

func TestTryClear(t *testing.T) {
	const clock, clearing = 0x181, 0x126
	for _, row := range []struct {
		name  string
		codes map[uint32]uint32
		sent  []uint32
		want  string // part of the error, "" for none
	}{
		{"denied", map[uint32]uint32{clock: denied, clearing: denied}, []uint32{clock, clearing}, ""},
		{"not filtered", nil, []uint32{clock}, "not filtered"},
		{"broken filter", map[uint32]uint32{clock: denied}, []uint32{clock, clearing}, "TPM2_Clear: response code 0x"},
		{"other refusal", map[uint32]uint32{clock: 0x100}, []uint32{clock}, "not filtered"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tpm := answering(row.codes)
			err := tryClear(strings.TrimPrefix(tpmtest.Serve(t, tpm), "unix:"))
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
			if got := tpm.Commands(); !slices.Equal(got, row.sent) {
				t.Errorf("sent %#x, want %#x", got, row.sent)
			}
		})
	}
}

// An unprotected chip accepts these bytes, so a refusal is not due to them.
func TestClearIsWellFormed(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		c := tpmtest.Dial(t, spec)
		for _, command := range [][]byte{readClock, clearTPM} {
			response, err := c.Send(command)
			if err != nil || binary.BigEndian.Uint32(response[6:]) != 0 {
				t.Errorf("%x: response %x, error %v", command, response, err)
			}
		}
	})
}
