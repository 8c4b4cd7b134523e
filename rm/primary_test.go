package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// Storage keys that everybody asks for are kept. Others, of which a caller under the profile all can think up any number, are the caller's own.
func TestOnlyStandardPrimariesAreKept(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	unlike, da := tpm2.ECCSRKTemplate, tpm2.ECCSRKTemplate
	unlike.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte{1}}})
	da.ObjectAttributes.NoDA = false
	for _, row := range []struct {
		name     string
		template tpm2.TPMTPublic
		commands int // of the second client that asks
	}{
		{"standard", tpm2.ECCSRKTemplate, 0}, {"standard, counted", da, 0}, {"with a unique field", unlike, 1}, {"named in SHA-1", shaOneRoot(), 1},
	} {
		for client := range uint32(2) {
			s := b.permissive(t, client)
			n := b.commands(func() {
				if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(row.template)}).Execute(s); err != nil {
					t.Errorf("%s: %v", row.name, err)
				}
			})
			if s.Close(); client == 1 && n != row.commands {
				t.Errorf("%s: %d commands, want %d", row.name, n, row.commands)
			}
		}
	}
	if leaks, err := tpmtest.Leaks(b.recorder); err != nil || len(leaks) != 2 {
		t.Errorf("on the chip: %x, %v, want two that are kept", leaks, err)
	}
}

// shaOneRoot is a storage key as old as those of the kernel's selftests, and faster to make.
func shaOneRoot() tpm2.TPMTPublic {
	template := tpm2.ECCSRKTemplate
	template.NameAlg = tpm2.TPMAlgSHA1
	template.ObjectAttributes.NoDA = false
	return template
}
