package filter

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// What passes costs no memory beyond its parse: the commands that a client sends all the time, under the default filter.
func TestCheckAllocatesNothing(t *testing.T) {
	for name, row := range map[string][]byte{
		"TPM2_Load":             load(wire.SRK, public(same)),
		"TPM2_Create":           create(public(same)),
		"TPM2_CreatePrimary":    createPrimary(owner, template(tpm2.ECCSRKTemplate, same)),
		"TPM2_StartAuthSession": command(tpm2.TPMCCStartAuthSession, []uint32{wire.SRK, nullHandle}, nil, nonce16, cipher256, hmacAESCFB),
		"TPM2_Sign":             command(tpm2.TPMCCSign, []uint32{keyHandle}, password, sized(make([]byte, 32)), rsassa, ticket),
		"TPM2_RSA_Decrypt":      command(tpm2.TPMCCRSADecrypt, []uint32{keyHandle}, password, cipher256, nullScheme, empty),
		"TPM2_FlushContext":     command(tpm2.TPMCCFlushContext, nil, nil, []byte{0x80, 0, 0, 2}),
	} {
		c, err := wire.Parse(row)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f := Default()
		if d := f.Check(&c, caller); !d.Allowed {
			t.Fatalf("%s is refused: %s", name, d.Why)
		}
		if n := testing.AllocsPerRun(100, func() { f.Check(&c, caller) }); n != 0 {
			t.Errorf("%s: %v allocations in a check", name, n)
		}
	}
}
