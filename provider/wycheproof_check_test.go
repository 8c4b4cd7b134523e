//go:build check

package provider_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"slices"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// What Project Wycheproof's files have in common, as far as it is needed here.
type (
	vectorFile struct {
		NumberOfTests int
		TestGroups    []vectorGroup
	}
	vectorGroup struct {
		Type            string
		KeySize         int
		Sha, MgfSha     string
		PrivateKeyPkcs8 text
		Tests           []vector
	}
	vector struct {
		TcID                int
		Comment, Result     string
		Msg, Ct, Label, Sig text
	}
	text []byte // hexadecimal in the file
)

func (x *text) UnmarshalText(digits []byte) (err error) {
	*x, err = hex.DecodeString(string(digits))
	return err
}

// vectorSkips are the groups that are not run, and why. Each row must be of use.
var vectorSkips = []struct {
	reason  string
	applies func(vectorGroup) bool
}{
	{"a public key only: signatures are verified by crypto/rsa, not by the provider", func(g vectorGroup) bool { return g.PrivateKeyPkcs8 == nil }},
}

// vectorDetours are the keys that go to the fake chip instead of the emulator, and why. Each row must be of use.
var vectorDetours = []struct {
	reason  string
	applies func(*rsa.PrivateKey) bool
}{
	{"more than two primes, which a TPM's key cannot have", func(k *rsa.PrivateKey) bool { return len(k.Primes) != 2 }},
	{"a size that the emulator has not", func(k *rsa.PrivateKey) bool { return !slices.Contains([]int{1024, 2048, 3072}, k.N.BitLen()) }},
	{"an exponent that the emulator does not take", func(k *rsa.PrivateKey) bool { return k.E < 1<<16 }},
}

// vectorUses are what the groups' types ask for.
var vectorUses = map[string]func(k *provider.Key, g vectorGroup, v vector) (got, want []byte, err error){
	"RsaesOaepDecrypt": func(k *provider.Key, g vectorGroup, v vector) ([]byte, []byte, error) {
		got, err := k.DecryptOAEP(vectorHashes[g.Sha], vectorHashes[g.MgfSha], v.Label, v.Ct)
		return got, v.Msg, err
	},
	"RsaesPkcs1Decrypt": func(k *provider.Key, _ vectorGroup, v vector) ([]byte, []byte, error) {
		got, err := k.DecryptPKCS1v15(v.Ct)
		return got, v.Msg, err
	},
	"RsassaPkcs1Generate": func(k *provider.Key, g vectorGroup, v vector) ([]byte, []byte, error) {
		hash := vectorHashes[g.Sha]
		h := hash.New()
		h.Write(v.Msg)
		got, err := k.SignPKCS1v15(hash, h.Sum(nil))
		return got, v.Sig, err
	},
}

var vectorHashes = map[string]crypto.Hash{
	"SHA-1": crypto.SHA1, "SHA-224": crypto.SHA224, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512,
	"SHA-512/224": crypto.SHA512_224, "SHA-512/256": crypto.SHA512_256,
}

// A vectorCount counts vectors: on the emulator, on the fake chip by the row that sent them there, and skipped by row.
type vectorCount struct {
	emulator      int
	fake, skipped []int
}

func newVectorCount() *vectorCount {
	return &vectorCount{fake: make([]int, len(vectorDetours)), skipped: make([]int, len(vectorSkips))}
}

func (n *vectorCount) total() (sum int) {
	for _, m := range append(slices.Clone(n.fake), n.skipped...) {
		sum += m
	}
	return sum + n.emulator
}

func (n *vectorCount) add(o *vectorCount) {
	n.emulator += o.emulator
	for i, m := range o.fake {
		n.fake[i] += m
	}
	for i, m := range o.skipped {
		n.skipped[i] += m
	}
}

// Project Wycheproof's private keys are imported into an emulator, or put into a fake chip where the emulator cannot take them, and used as keys of the
// provider's.
func TestWycheproof(t *testing.T) {
	files, err := fs.Glob(wycheproof.TestVectors, "rsa_*_test.json")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	chips := vectorChips{emulator: tpmtest.Dial(t, tpmtest.SWTPM(t)), fake: &tpmtest.RSAChip{}}
	all := newVectorCount()
	for _, name := range files {
		t.Run(name, func(t *testing.T) {
			file, n := readVectors(t, name), newVectorCount()
			for _, group := range file.TestGroups {
				chips.run(t, group, n)
			}
			if n.total() != file.NumberOfTests {
				t.Errorf("%d vectors, and the file has %d", n.total(), file.NumberOfTests)
			}
			t.Logf("%d on the emulator, %v on the fake chip, %v skipped", n.emulator, n.fake, n.skipped)
			all.add(n)
		})
	}
	t.Logf("%d on the emulator", all.emulator)
	for i, row := range vectorDetours {
		t.Logf("%d on the fake chip: %s", all.fake[i], row.reason)
	}
	for i, row := range vectorSkips {
		t.Logf("%d skipped: %s", all.skipped[i], row.reason)
	}
	if slices.Contains(append(all.fake, all.skipped...), 0) || all.emulator < 500 {
		t.Error("a row is of no use, or the emulator did too little")
	}
}

func readVectors(t *testing.T, name string) (file vectorFile) {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// vectorChips are where the keys go.
type vectorChips struct {
	emulator *tpmtest.Conn
	fake     *tpmtest.RSAChip
}

// run uses the key of a group for each of its vectors.
func (c vectorChips) run(t *testing.T, g vectorGroup, n *vectorCount) {
	t.Helper()
	for i, skip := range vectorSkips {
		if skip.applies(g) {
			n.skipped[i] += len(g.Tests)
			return
		}
	}
	use, ok := vectorUses[g.Type]
	if !ok {
		t.Fatalf("groups of type %q are not known", g.Type)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(g.PrivateKeyPkcs8)
	if err != nil {
		t.Fatal(err)
	}
	k, count := c.put(t, parsed.(*rsa.PrivateKey), n)
	*count += len(g.Tests)
	for _, v := range g.Tests {
		got, want, err := use(k, g, v)
		if good := err == nil && bytes.Equal(got, want); good != (v.Result == "valid" || v.Result == "acceptable") {
			t.Errorf("%d, %s, %s: %x, %v", v.TcID, v.Comment, v.Result, got, err)
		}
	}
	flushAll(t, c.emulator)
}

// put makes a key of the provider's of a private key, and says which count its vectors belong to.
func (c vectorChips) put(t *testing.T, key *rsa.PrivateKey, n *vectorCount) (*provider.Key, *int) {
	t.Helper()
	template := tpmtest.RSATemplate()
	template.ObjectAttributes.FixedTPM, template.ObjectAttributes.FixedParent, template.ObjectAttributes.SensitiveDataOrigin = false, false, false
	parms := &tpm2.TPMSRSAParms{KeyBits: tpm2.TPMKeyBits(key.N.BitLen())}
	if key.E != 65537 {
		parms.Exponent = uint32(key.E)
	}
	template.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms)
	for i, row := range vectorDetours {
		if row.applies(key) {
			c.fake.Add(key)
			return keyIn(t, c.fake, tpmtest.KeyFile(t, template, &key.PublicKey, tpmtest.OwnerParent)), &n.fake[i]
		}
	}
	return imported(t, c.emulator, template, key), &n.emulator
}

// imported is a key that TPM2_Import (Part 3, 13.3) has put below the standard parent, unencrypted.
func imported(t *testing.T, chip *tpmtest.Conn, template tpm2.TPMTPublic, key *rsa.PrivateKey) *provider.Key {
	t.Helper()
	srk, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: key.N.Bytes()})
	sensitive := tpm2.Marshal(tpm2.New2B(tpm2.TPMTSensitive{
		SensitiveType: tpm2.TPMAlgRSA,
		Sensitive:     tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgRSA, &tpm2.TPM2BPrivateKeyRSA{Buffer: key.Primes[0].Bytes()}),
	}))
	made, err := tpm2.Import{
		ParentHandle: tpm2.NamedHandle{Handle: srk.ObjectHandle, Name: srk.Name},
		ObjectPublic: tpm2.New2B(template),
		Duplicate:    tpm2.TPM2BPrivate{Buffer: sensitive},
		Symmetric:    tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}.Execute(chip)
	if err != nil {
		t.Fatalf("import a key of %d bits with exponent %d: %v", key.N.BitLen(), key.E, err)
	}
	flushAll(t, chip)
	return keyIn(t, chip, tpmtest.KeyFileOf(t, tpm2.Marshal(template), made.OutPrivate.Buffer, tpmtest.OwnerParent))
}
