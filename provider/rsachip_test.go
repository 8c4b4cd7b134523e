package provider_test

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

func onChip(t *testing.T, chip tpmtest.Sender) *provider.Provider {
	t.Helper()
	return provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return closer{chip}, nil })
}

// A key of 4096 bits, which no emulator has, on a chip made of software.
func TestRSA4096(t *testing.T) {
	p := onChip(t, &tpmtest.RSAChip{})
	if has, err := p.Sizes(); err != nil || !slices.Equal(has, []int{2048, 3072, 4096}) {
		t.Errorf("%v, %v", has, err)
	}
	k, err := p.Create("web", provider.Template{Bits: 4096})
	if err != nil {
		t.Fatal(err)
	}
	checkTemplate(t, k, provider.Template{Bits: 4096})
	checkSigns(t, k)
	testDecrypt(t, k)
	testRaw(t, k)
}

// What a chip has refused once is done without it from then on, at no further cost.
func TestRefusedOnce(t *testing.T) {
	recorder := tpmtest.Record(&tpmtest.RSAChip{Lacks: []tpm2.TPMAlgID{tpm2.TPMAlgSHA512}, NoRaw: true})
	k := create(t, onChip(t, recorder), "web")
	checkPSS := func(hash crypto.Hash) error { return second(k.SignPSS(hash, sum(hash), hash.Size())) }
	for _, row := range []struct {
		name     string
		use      func() error
		commands []tpm2.TPMCC // once it was loaded
		want     error
	}{
		{"PSS", func() error { return checkPSS(crypto.SHA256) }, []tpm2.TPMCC{tpm2.TPMCCRSADecrypt, tpm2.TPMCCSign}, nil},
		{"PSS again", func() error { return checkPSS(crypto.SHA256) }, []tpm2.TPMCC{tpm2.TPMCCSign}, nil},
		{"SHA-512", func() error { return checkPSS(crypto.SHA512) }, []tpm2.TPMCC{tpm2.TPMCCSign}, tpm2.TPMRCHash},
		{"SHA-512 again", func() error { return checkPSS(crypto.SHA512) }, nil, tpm2.TPMRCHash},
		{"PKCS #1 v1.5 with it", func() error { return usePKCS1v15(k, crypto.SHA512) }, []tpm2.TPMCC{tpm2.TPMCCSign}, tpm2.TPMRCHash},
		{"PKCS #1 v1.5 with it again", func() error { return usePKCS1v15(k, crypto.SHA512) }, nil, tpm2.TPMRCHash},
		{"raw", func() error { return second(k.RawRSA(make([]byte, 256))) }, nil, provider.ErrUsage},
	} {
		verify(t, k) // which leaves it loaded
		recorder.Reset()
		err := row.use()
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
		var got []tpm2.TPMCC
		for _, c := range recorder.Commands() {
			got = append(got, tpm2.TPMCC(c))
		}
		if !slices.Equal(got, row.commands) {
			t.Errorf("%s: the chip saw %v", row.name, got)
		}
	}
}

// A chip without the bare RSA operation still decrypts, with the padding that it knows.
func TestDecryptWithoutRaw(t *testing.T) {
	k := create(t, onChip(t, &tpmtest.RSAChip{NoRaw: true}), "web")
	ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, k.Public(), message)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := k.DecryptPKCS1v15(ciphertext); err != nil || !bytes.Equal(plaintext, message) {
		t.Errorf("PKCS #1 v1.5: %q, %v", plaintext, err)
	}
	ciphertext[100] ^= 1
	if plaintext, err := k.DecryptPKCS1v15(ciphertext); !errors.Is(err, rsa.ErrDecryption) {
		t.Errorf("PKCS #1 v1.5, damaged: %q, %v", plaintext, err)
	}
	checkOAEP(t, k, crypto.SHA256, crypto.SHA256, "", "")
	checkOAEP(t, k, crypto.SHA1, crypto.SHA1, "ends with\x00", "")
	checkOAEP(t, k, crypto.SHA256, crypto.SHA256, "does not", "a label that does not end with a NUL byte; this TPM does not do it by itself, nor")
	checkOAEP(t, k, crypto.SHA256, crypto.SHA1, "", "two hashes; this TPM")
	checkOAEP(t, k, crypto.SHA224, crypto.SHA224, "", "with SHA-224; this TPM")
}

// checkOAEP wants the message, or ErrUsage with a text in it.
func checkOAEP(t *testing.T, k *provider.Key, hash, mgf crypto.Hash, label, says string) {
	t.Helper()
	ciphertext, err := rsa.EncryptOAEPWithOptions(rand.Reader, k.Public(), message, &rsa.OAEPOptions{Hash: hash, MGFHash: mgf, Label: []byte(label)})
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := k.DecryptOAEP(hash, mgf, []byte(label), ciphertext)
	switch {
	case says == "" && (err != nil || !bytes.Equal(plaintext, message)):
		t.Errorf("OAEP with %v, %v, %q: %q, %v", hash, mgf, label, plaintext, err)
	case says != "" && (!errors.Is(err, provider.ErrUsage) || !strings.Contains(err.Error(), says)):
		t.Errorf("OAEP with %v, %v, %q: %v", hash, mgf, label, err)
	}
}

// A key that another tool has restricted does what is left to it, and says so of the rest.
func TestRestrictedKeys(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	const sign, decrypt = true, true
	for _, row := range []struct {
		purpose       string
		sign, decrypt bool
		scheme        tpm2.TPMTRSAScheme
		can           string // letters of uses
	}{
		{"signatures and decryption", sign, decrypt, tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}, "sShpPeolnr"},
		{"signatures", sign, !decrypt, tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}, "sSp"},
		{"decryption", !sign, decrypt, tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}, "eolnr"},
		{"signatures by RSASSA-PKCS1-v1_5 with SHA-256 only", sign, !decrypt, restricted(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256}), "s"},
		{"signatures by RSASSA-PSS with SHA-256 only", sign, !decrypt, restricted(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA256}), "p"},
		{"decryption by RSAES-PKCS1-v1_5 only", !sign, decrypt, restricted(tpm2.TPMAlgRSAES, &tpm2.TPMSEncSchemeRSAES{}), "e"},
		{"decryption by RSAES-OAEP with SHA-256 only", !sign, decrypt, restricted(tpm2.TPMAlgOAEP, &tpm2.TPMSEncSchemeOAEP{HashAlg: tpm2.TPMAlgSHA256}), "on"},
	} {
		t.Run(row.purpose, func(t *testing.T) {
			template := tpmtest.RSATemplate()
			template.ObjectAttributes.SignEncrypt, template.ObjectAttributes.Decrypt = row.sign, row.decrypt
			template.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: row.scheme})
			k := foreignKey(t, chip, template)
			if k.Purpose() != row.purpose {
				t.Errorf("it is for %s", k.Purpose())
			}
			for letter, use := range uses {
				err := use(k)
				switch can := strings.ContainsRune(row.can, letter); {
				case can && err != nil:
					t.Errorf("use %c: %v", letter, err)
				case !can && (!errors.Is(err, provider.ErrUsage) || !strings.Contains(err.Error(), "; it is for "+strings.Fields(row.purpose)[0])):
					t.Errorf("use %c, which it does not have: %v", letter, err)
				}
			}
			flushAll(t, chip)
		})
	}
}

func restricted[D tpm2.AsymSchemeContents](scheme tpm2.TPMAlgID, details D) tpm2.TPMTRSAScheme {
	return tpm2.TPMTRSAScheme{Scheme: scheme, Details: tpm2.NewTPMUAsymScheme(scheme, details)}
}

// uses are what may be asked of a key.
var uses = map[rune]func(k *provider.Key) error{
	's': func(k *provider.Key) error { return usePKCS1v15(k, crypto.SHA256) },
	'S': func(k *provider.Key) error { return usePKCS1v15(k, crypto.SHA512) },
	'h': func(k *provider.Key) error { return usePKCS1v15(k, crypto.SHA224) }, // which TPMs do not know
	'p': func(k *provider.Key) error { return usePSS(k, 32) },
	'P': func(k *provider.Key) error { return usePSS(k, 20) },
	'e': func(k *provider.Key) error {
		ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, k.Public(), message)
		if err != nil {
			return err
		}
		return isMessage(k.DecryptPKCS1v15(ciphertext))
	},
	'o': func(k *provider.Key) error { return useOAEP(k, crypto.SHA256, "") },
	'l': func(k *provider.Key) error { return useOAEP(k, crypto.SHA384, "label") },
	'n': func(k *provider.Key) error { return useOAEP(k, crypto.SHA256, "label\x00") },
	'r': func(k *provider.Key) error { return second(k.RawRSA(append(make([]byte, 255), 2))) },
}

func usePKCS1v15(k *provider.Key, hash crypto.Hash) error {
	signature, err := k.SignPKCS1v15(hash, sum(hash))
	if err != nil {
		return err
	}
	return rsa.VerifyPKCS1v15(k.Public(), hash, sum(hash), signature)
}

func usePSS(k *provider.Key, salt int) error {
	signature, err := k.SignPSS(crypto.SHA256, sum(crypto.SHA256), salt)
	if err != nil {
		return err
	}
	return rsa.VerifyPSS(k.Public(), crypto.SHA256, sum(crypto.SHA256), signature, &rsa.PSSOptions{SaltLength: salt})
}

func useOAEP(k *provider.Key, hash crypto.Hash, label string) error {
	ciphertext, err := rsa.EncryptOAEP(hash.New(), rand.Reader, k.Public(), message, []byte(label))
	if err != nil {
		return err
	}
	return isMessage(k.DecryptOAEP(hash, hash, []byte(label), ciphertext))
}

func isMessage(plaintext []byte, err error) error {
	if err == nil && !bytes.Equal(plaintext, message) {
		return errors.New("another plaintext")
	}
	return err
}

// foreignKey is a key that somebody has made with a template of his own below the standard parent.
func foreignKey(t *testing.T, chip *tpmtest.Conn, template tpm2.TPMTPublic) *provider.Key {
	t.Helper()
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	srk, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	made, err := tpm2.Create{ParentHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name}, InPublic: tpm2.New2B(template)}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	flushAll(t, chip)
	return keyIn(t, chip, tpmtest.KeyFileOf(t, made.OutPublic.Bytes(), made.OutPrivate.Buffer, tpmtest.OwnerParent))
}

// keyIn is the key of a file, used on a raw chip.
func keyIn(t *testing.T, chip tpmtest.Sender, text []byte) *provider.Key {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/web.pem", text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return closer{chip}, nil })
	t.Cleanup(func() { p.Close() })
	k, err := p.Key("web")
	if err != nil {
		t.Fatal(err)
	}
	return k
}
