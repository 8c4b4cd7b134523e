package provider_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// closer is a Sender that can be closed, as often as one likes.
type closer struct{ tpmtest.Sender }

func (closer) Close() error { return nil }

func code(command []byte) tpm2.TPMCC { return tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) }

// failure is the response of a TPM that only says no.
func failure(rc tpm2.TPMRC) []byte {
	return binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, uint32(rc))
}

// refusing is a chip that answers commands that a test picks with an error.
func refusing(chip tpmtest.Sender, rc tpm2.TPMRC, pick func(command []byte) bool) tpmtest.Sender {
	return tpmtest.Func(func(command []byte) ([]byte, error) {
		if pick(command) {
			return failure(rc), nil
		}
		return chip.Send(command)
	})
}

func ofCode(want tpm2.TPMCC) func([]byte) bool {
	return func(command []byte) bool { return code(command) == want }
}

// What the TPM's codes mean in words that one can act on, with the code still to be found.
func TestTPMErrors(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	dir := t.TempDir()
	for _, row := range []struct {
		rc       tpm2.TPMRC
		sentinel error
		says     string
	}{
		{tpm2.TPMRCLockout, provider.ErrLockout, "tpm2_dictionarylockout -c"},
		{0x000B0921, provider.ErrLockout, "tpmkeyd's log"},
		{tpm2.TPMRC(0x98E), provider.ErrPIN, "its file does not say"}, // TPM_RC_AUTH_FAIL, session 1
		{tpm2.TPMRC(0x9A2), provider.ErrPIN, "its file does not say"}, // TPM_RC_BAD_AUTH, session 1
		{0x000B0143, provider.ErrDenied, "TPM2_Sign is refused; for the rule see: tpmkey filter explain TPM2_Sign, with"},
		{0x000B0143, provider.ErrDenied, "another filter"},
		{0x000B0921, provider.ErrLockout, "right PINs are refused too"},
		{0x000B0902, nil, "as many objects loaded as one may"},
		{0x000B000A, nil, "could not ask the chip"},
		{0x000B0120, nil, "the TPM's manager refuses TPM2_Sign: TPM_RC_DISABLED"},
		{tpm2.TPMRCFailure, nil, "restart the machine"},
		{tpm2.TPMRCInitialize, nil, "was not started"},
	} {
		refuser := refusing(chip, row.rc, ofCode(tpm2.TPMCCSign))
		p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return closer{refuser}, nil })
		k, err := p.Key("web")
		if errors.Is(err, provider.ErrNotFound) {
			k, err = p.Create("web", provider.Template{})
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
		var rc tpm2.TPMRC
		if row.sentinel != nil && !errors.Is(err, row.sentinel) || !errors.As(err, &rc) || err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "unknown") {
			t.Errorf("%#x: %v", uint32(row.rc), err)
		}
		if _, err := k.SignPSS(crypto.SHA256, sum(crypto.SHA256), 32); err != nil {
			t.Errorf("after %#x: %v", uint32(row.rc), err)
		}
		flushAll(t, chip)
	}
}

// flushAll empties a raw chip, as the manager below would when its client goes.
func flushAll(t *testing.T, chip tpmtest.Sender) {
	t.Helper()
	handles, err := tpmtest.Leaks(chip)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handles {
		if _, err := (tpm2.FlushContext{FlushHandle: h}).Execute(chip.(transport.TPM)); err != nil {
			t.Error(err)
		}
	}
}

// A chip without SHA-384 and SHA-512 still signs with them: the padding is done in software.
func TestChipWithoutHashes(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	lacks := refusing(chip, tpm2.TPMRC(0x2C3), func(command []byte) bool { // TPM_RC_HASH, parameter 2
		return code(command) == tpm2.TPMCCSign &&
			(bytes.Contains(command, []byte{0x00, 0x14, 0x00, 0x0c}) || bytes.Contains(command, []byte{0x00, 0x14, 0x00, 0x0d}))
	})
	k := create(t, provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return closer{lacks}, nil }), "web")
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		signature, err := k.SignPKCS1v15(hash, sum(hash))
		if err != nil || rsa.VerifyPKCS1v15(k.Public(), hash, sum(hash), signature) != nil {
			t.Errorf("%v: %v", hash, err)
		}
	}
}

// A key that only does PSS by itself, on a chip that only has the longest salt: that salt works, another one is refused instead of being given.
func TestLongestSalt(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.pem"), pssKeyFile(t, key), 0o600); err != nil {
		t.Fatal(err)
	}
	chip := &tpmtest.RSAChip{LongestSalt: true}
	chip.Add(key)
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return chip, nil })
	k, err := p.Key("web")
	if err != nil {
		t.Fatal(err)
	}
	longest := 256 - 2 - 32
	signature, err := k.SignPSS(crypto.SHA256, sum(crypto.SHA256), longest)
	if err != nil || rsa.VerifyPSS(k.Public(), crypto.SHA256, sum(crypto.SHA256), signature, &rsa.PSSOptions{SaltLength: longest}) != nil {
		t.Errorf("the longest salt: %v", err)
	}
	if _, err := k.SignPSS(crypto.SHA256, sum(crypto.SHA256), 32); !errors.Is(err, provider.ErrUsage) || !strings.Contains(err.Error(), "salts of 32 bytes") {
		t.Errorf("a salt of 32 bytes: %v", err)
	}
	for _, err := range []error{
		second(k.SignPSS(crypto.SHA384, sum(crypto.SHA384), 48)),
		second(k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))),
		second(k.DecryptPKCS1v15(make([]byte, 256))),
		second(k.RawRSA(make([]byte, 256))),
	} {
		if !errors.Is(err, provider.ErrUsage) {
			t.Errorf("a use that the key does not have: %v", err)
		}
	}
}

func second(_ []byte, err error) error { return err }

// pssKeyFile is the file of a key that signs with PSS and SHA-256 and does nothing else.
func pssKeyFile(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	public := tpmtest.RSATemplate()
	public.ObjectAttributes.Decrypt = false
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
		Scheme:  tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSAPSS, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA256})},
		KeyBits: 2048,
	})
	return tpmtest.KeyFile(t, public, &key.PublicKey, tpmtest.OwnerParent)
}

// A recorded dialogue with a swtpm: byte for byte what the provider sends to make a key, to sign and to decrypt.
func TestRecordedDialogue(t *testing.T) {
	chip := tpmtest.Dialogue(t, "testdata/swtpm.dialogue", func() tpmtest.Sender { return tpmtest.Dial(t, tpmtest.SWTPM(t)) })
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return closer{chip}, nil })
	k := create(t, p, "web")
	signature, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
	if err != nil || rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, sum(crypto.SHA256), signature) != nil {
		t.Errorf("signature: %v", err)
	}
	in := bytes.Repeat([]byte{1}, 256)
	if out, err := k.RawRSA(in); err != nil || len(out) != 256 || bytes.Equal(out, in) {
		t.Errorf("raw operation: %x, %v", out, err)
	}
	if _, err := k.DecryptPKCS1v15(in); !errors.Is(err, rsa.ErrDecryption) {
		t.Errorf("nonsense decrypted: %v", err)
	}
}
