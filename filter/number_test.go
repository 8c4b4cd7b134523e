package filter_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// A number is as large as it is, also where an int has 32 bits (GOARCH=arm).
func TestLargeNumbers(t *testing.T) {
	f, err := filter.Parse("profile some: few at once\nallow TPM2_GetCapability: what the TPM can do\n    propertyCount is at most 8\n")
	if err != nil {
		t.Fatal(err)
	}
	for count, want := range map[uint32]bool{0: true, 8: true, 9: false, 0x7FFFFFFF: false, 0x80000000: false, 0xFFFFFFFF: false} {
		command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).Uint32(uint32(tpm2.TPMCapAlgs)).Uint32(0).Uint32(count).Bytes()
		if e := f.ExplainCommand(command, nil); e.Allowed != want {
			t.Errorf("%#x properties: %+v", count, e)
		}
	}
}
