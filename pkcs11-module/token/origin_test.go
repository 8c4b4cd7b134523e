package token

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// A key that has been, or may get, outside of this TPM does not pass as one that was born in it.
func TestOrigin(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name            string
		fixed, born, is bool
	}{{"hardware", true, true, true}, {"migratable", false, true, false}, {"imported", false, false, false}} {
		template := tpmtest.RSATemplate()
		template.ObjectAttributes.FixedTPM, template.ObjectAttributes.FixedParent = row.fixed, row.fixed
		template.ObjectAttributes.SensitiveDataOrigin = row.born
		dir := t.TempDir()
		text := tpmtest.KeyFile(t, template, &private.PublicKey, tpmtest.OwnerParent)
		if err := os.WriteFile(filepath.Join(dir, "key.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		h := newHost(t, dir, "")
		s := h.session()
		mechanism := number(unavailable)
		if row.is {
			mechanism = number(CKM_RSA_PKCS_KEY_PAIR_GEN)
		}
		for kind, want := range map[attributeType][]byte{CKA_LOCAL: boolean(row.is), CKA_ALWAYS_SENSITIVE: boolean(row.is), CKA_NEVER_EXTRACTABLE: boolean(row.is),
			CKA_KEY_GEN_MECHANISM: mechanism, CKA_SENSITIVE: boolean(true), CKA_EXTRACTABLE: boolean(false)} {
			_, got := filled(h.want(CKR_OK, fnGetAttributeValue, s, h.one(s, CKO_PRIVATE_KEY), num(1), num(kind), have(64)))
			if !bytes.Equal(got, want) {
				t.Errorf("%s: attribute %#x is %x, want %x", row.name, kind, got, want)
			}
		}
	}
}
