package doctor

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"tpmkey.example/provider"
)

// What is made of what the program says.
func TestModuleWorks(t *testing.T) {
	failed := errors.New("exit status 1")
	for name, row := range map[string]struct {
		said, logged string
		err          error
		status       Status
		fact, fix    string
	}{
		"works":     {"", "", nil, OK, "so does its forked child", ""},
		"no TPM":    {"before a fork: C_GenerateKeyPair gives CKR_DEVICE_REMOVED\n", "2026-05-06T07:08:09Z tpmkey-pkcs11[7]: C_GenerateKeyPair: CKR_DEVICE_REMOVED: make a key: no TPM\n", failed, Fail, "C_GenerateKeyPair gives CKR_DEVICE_REMOVED: make a key: no TPM", ""},
		"no helper": {"in a forked child: C_Initialize gives CKR_GENERAL_ERROR\n", "C_Initialize: CKR_GENERAL_ERROR: /usr/libexec/tpmkey/tpmkey-pkcs11-helper: no such file\n", failed, Fail, "in a forked child", "belong together"},
		"silent":    {"in a forked child: C_Initialize gives CKR_FUNCTION_FAILED\n", "", failed, Fail, "tpmkey-pkcs11-helper does not start", "same PREFIX"},
		"junk":      {"/usr/lib/tpmkey-pkcs11.so: file too short\n", "", failed, Fail, "file too short", "make install"},
		"crashed":   {"", "", failed, Fail, "exit status 1", ""},
		"gone":      {"", "", &exec.Error{Name: "tpmkey-probe", Err: exec.ErrNotFound}, Warn, "not checked", "install"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(context.Background(), TPM{Probe: func(context.Context) (string, string, error) { return row.said, row.logged, row.err }})
			p.trial = &provider.Key{}
			expect(t, moduleWorks(p), row.status, row.fact, row.fix)
		})
	}
	p := newPatient(context.Background(), TPM{})
	expect(t, moduleWorks(p), Warn, "see module-file", "")
	p.tpm.Probe = func(context.Context) (string, string, error) { panic("not to be asked") }
	expect(t, moduleWorks(p), Warn, "see trial-signature", "")
}
