package rm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// attestationKey is where the profiles attest and orchestrate expect a key that signs what the chip says.
const attestationKey = tpm2.TPMHandle(0x81010002)

// persistAttestationKey makes a restricted signing key on the raw chip and gives its name.
func persistAttestationKey(t *testing.T, raw tpmtest.Sender) tpm2.NamedHandle {
	t.Helper()
	area := template(false)
	area.ObjectAttributes.Restricted, area.ObjectAttributes.Decrypt = true, false
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA,
		Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}})
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(area)}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	made := tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}
	if _, err := (tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &made, PersistentHandle: attestationKey}).Execute(raw); err != nil {
		t.Fatal(err)
	}
	flush(t, raw, r.ObjectHandle)
	return tpm2.NamedHandle{Handle: attestationKey, Name: r.Name}
}

// under opens a client with a built-in profile.
func (b *bench) under(t *testing.T, profile string) *rm.Space {
	t.Helper()
	s, err := b.Open(rm.Options{UID: nobody, Filter: named(t, profile)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func nullScheme() tpm2.TPMTSigScheme { return tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull} }

func TestProfileUse(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	f := makeFiles(t, b.space(t, nobody), false, "pin")
	s := b.under(t, "use")
	if err := f.load(t, s).try("pin"); err != nil {
		t.Errorf("use a key: %v", err)
	}
	parent := primary(t, s)
	wantRC(t, "make a key", create(s, tpm2.AuthHandle{Handle: parent.Handle, Name: parent.Name, Auth: tpm2.PasswordAuth(nil)}), filter.RCDenied)
}

func TestProfileRSAAndECC(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := b.under(t, "rsa+ecc")
	newKey(t, s, false, "").mustSign(t)
	parent := primary(t, s)
	both := eccTemplate
	both.ObjectAttributes.Decrypt = true
	made, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(both)}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	k, err := tpm2.Load{ParentHandle: parent, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	handle := tpm2.NamedHandle{Handle: k.ObjectHandle, Name: k.Name}
	if r, err := (tpm2.Sign{KeyHandle: handle, Digest: tpm2.TPM2BDigest{Buffer: digest[:]}, Validation: noTicket,
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
	}).Execute(s); err != nil || r.Signature.SigAlg != tpm2.TPMAlgECDSA {
		t.Errorf("an ECDSA signature: %+v, %v", r, err)
	}
	area, err := made.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	point, err := area.Unique.ECC()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := (tpm2.ECDHZGen{KeyHandle: handle, InPoint: tpm2.New2B(*point)}).Execute(s); err != nil || len(r.OutPoint.Bytes()) == 0 {
		t.Errorf("a key agreement: %+v, %v", r, err)
	}
	_, err = tpm2.Load{ParentHandle: primary(t, b.space(t, nobody)), InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(b.space(t, nobody))
	wantRC(t, "load the ECC key under rsa", err, 0x910) // of another connection's parent
	plain := b.space(t, nobody)
	_, err = tpm2.Load{ParentHandle: primary(t, plain), InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(plain)
	wantRC(t, "load the ECC key under rsa", err, filter.RCDenied)
}

var noTicket = tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}

// A key that was made in software comes to the chip, marked for ever as one that is not fixed to it.
func TestProfileImport(t *testing.T) {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	area := template(false)
	area.ObjectAttributes.FixedTPM, area.ObjectAttributes.FixedParent, area.ObjectAttributes.SensitiveDataOrigin = false, false, false
	area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: made.N.Bytes()})
	secret := tpm2.Marshal(tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgRSA,
		Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgRSA, &tpm2.TPM2BPrivateKeyRSA{Buffer: made.Primes[0].Bytes()})})
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	for _, row := range []struct {
		what, profile string
		change        func(*tpm2.TPMTPublic)
		want          tpm2.TPMRC
	}{
		{"an RSA key", "rsa+import", func(*tpm2.TPMTPublic) {}, 0},
		{"one that the chip counts failures of", "rsa+import", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.NoDA = false }, filter.RCDenied},
		{"a parent", "rsa+import", func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted, p.ObjectAttributes.SignEncrypt = true, false }, filter.RCDenied},
		{"an RSA key", "rsa", func(*tpm2.TPMTPublic) {}, filter.RCDenied},
	} {
		s, area := b.under(t, row.profile), area
		row.change(&area)
		parent := primary(t, s)
		r, err := tpm2.Import{ParentHandle: parent, ObjectPublic: tpm2.New2B(area), Duplicate: tpm2.TPM2BPrivate{Buffer: append([]byte{byte(len(secret) >> 8), byte(len(secret))}, secret...)},
			Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}.Execute(s)
		if row.want != 0 {
			wantRC(t, "import "+row.what+" under "+row.profile, err, row.want)
			continue
		}
		if err != nil {
			t.Fatalf("import %s: %v", row.what, err)
		}
		load(t, s, parent, r.OutPrivate, tpm2.New2B(area)).mustSign(t)
	}
}

// The attestation key certifies callers' keys, and how they were made; nobody signs with it, and without the profile nobody sees it.
func TestProfileAttest(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	ak := persistAttestationKey(t, b.recorder)
	s := b.under(t, "attest")
	parent := primary(t, s)
	made, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(template(false))}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	k := load(t, s, parent, made.OutPrivate, made.OutPublic)
	if r, err := (tpm2.Certify{ObjectHandle: k.handle, SignHandle: ak, InScheme: nullScheme()}).Execute(s); err != nil || len(r.CertifyInfo.Bytes()) == 0 {
		t.Errorf("certify a key: %v", err)
	}
	creation := tpm2.CertifyCreation{SignHandle: ak, ObjectHandle: k.handle, CreationHash: made.CreationHash, CreationTicket: made.CreationTicket, InScheme: nullScheme()}
	if r, err := creation.Execute(s); err != nil || len(r.CertifyInfo.Bytes()) == 0 {
		t.Errorf("certify how a key was made: %v", err)
	}
	_, err = tpm2.Quote{SignHandle: ak, InScheme: nullScheme()}.Execute(s)
	wantRC(t, "quote", err, filter.RCDenied)
	_, err = tpm2.Sign{KeyHandle: ak, Digest: tpm2.TPM2BDigest{Buffer: digest[:]}, InScheme: nullScheme(), Validation: noTicket}.Execute(s)
	wantRC(t, "sign with the attestation key", err, filter.RCDenied)
	_, err = tpm2.Certify{ObjectHandle: ak, SignHandle: ak, InScheme: nullScheme()}.Execute(s)
	wantRC(t, "certify what is not one's own", err, filter.RCDenied)
	_, err = tpm2.ReadPublic{ObjectHandle: attestationKey}.Execute(b.space(t, nobody))
	wantRC(t, "read the attestation key under rsa", err, filter.RCDenied)
}

// Who starts other programs measures them, and proves it.
func TestProfileOrchestrate(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	ak := persistAttestationKey(t, b.recorder)
	s, plain := b.under(t, "orchestrate"), b.space(t, nobody)
	selection := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: []byte{0, 0, 1}}}}
	read := func() []byte {
		r, err := tpm2.PCRRead{PCRSelectionIn: selection}.Execute(s)
		if err != nil || len(r.PCRValues.Digests) != 1 {
			t.Fatalf("read a PCR: %+v, %v", r, err)
		}
		return r.PCRValues.Digests[0].Buffer
	}
	extend := tpm2.PCRExtend{PCRHandle: tpm2.TPMHandle(16), Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}}}
	before := read()
	if _, err := extend.Execute(s); err != nil {
		t.Errorf("extend a PCR: %v", err)
	}
	if bytes.Equal(before, read()) {
		t.Error("the PCR is as it was")
	}
	if r, err := (tpm2.Quote{SignHandle: ak, InScheme: nullScheme(), PCRSelect: selection}).Execute(s); err != nil || len(r.Quoted.Bytes()) == 0 {
		t.Errorf("quote: %v", err)
	}
	_, err := extend.Execute(plain)
	wantRC(t, "extend a PCR under rsa", err, filter.RCDenied)
	_, err = tpm2.PCRReset{PCRHandle: tpm2.TPMHandle(16)}.Execute(s)
	wantRC(t, "reset a PCR", err, filter.RCDenied)
}
