package attest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// software are keys that stand for a TPM's: an attestation key, one that somebody else has, and one that is attested.
var software = sync.OnceValue(func() (keys struct{ ak, other, web *rsa.PrivateKey }) {
	for _, k := range []**rsa.PrivateKey{&keys.ak, &keys.other, &keys.web} {
		made, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		*k = made
	}
	return keys
})

var nonce = []byte("a verifier's nonce")

// A maker makes evidence as a TPM does, and lets a forger in at each step.
type maker struct {
	ak           *rsa.PrivateKey
	scheme, hash tpm2.TPMAlgID
	area         tpm2.TPMTPublic
	data         tpm2.TPMSCreationData
	certify      bool // by TPM2_Certify

	// What a forger does, nil where there is none: to the statement before it is signed, as a structure and as bytes; to the parts; to the text.
	statement func(*tpm2.TPMSAttest)
	bytes     func([]byte) []byte
	parts     func(*Parts)
	text      func([]byte) []byte
}

func good() *maker {
	return &maker{ak: software().ak, scheme: tpm2.TPMAlgRSASSA, hash: tpm2.TPMAlgSHA256, area: areaOf(&software().web.PublicKey),
		data: tpm2.TPMSCreationData{PCRDigest: tpm2.TPM2BDigest{Buffer: make([]byte, 32)}, Locality: tpm2.TPMALocality{TPMLocZero: true}, ParentNameAlg: tpm2.TPMAlgSHA256,
			ParentName: tpm2.TPM2BName{Buffer: parentName}, ParentQualifiedName: tpm2.TPM2BName{Buffer: parentName}, OutsideInfo: tpm2.TPM2BData{Buffer: []byte("challenge")}}}
}

var parentName = append([]byte{0, 0x0b}, make([]byte, 32)...)

// areaOf is the public area of a key as tpmkey makes it.
func areaOf(public *rsa.PublicKey) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true, Decrypt: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: tpm2.TPMKeyBits(public.N.BitLen())}),
		Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: public.N.Bytes()})}
}

// attestationArea is the public area of an attestation key.
func attestationArea(scheme, hash tpm2.TPMAlgID) tpm2.TPMTPublic {
	area := areaOf(&software().ak.PublicKey)
	area.ObjectAttributes.Restricted, area.ObjectAttributes.Decrypt = true, false
	details := tpm2.NewTPMUAsymScheme(scheme, &tpm2.TPMSSigSchemeRSASSA{HashAlg: hash})
	if scheme == tpm2.TPMAlgRSAPSS {
		details = tpm2.NewTPMUAsymScheme(scheme, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: hash})
	}
	area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: tpm2.TPMTRSAScheme{Scheme: scheme, Details: details}})
	return area
}

// hashOf is the hash of the key's nameAlg, also of one that no verifier takes.
func (m *maker) hashOf() crypto.Hash {
	h, err := m.area.NameAlg.Hash()
	if err != nil {
		panic(err)
	}
	return h
}

func (m *maker) name() tpm2.TPM2BName {
	name, err := tpm2.ObjectName(&m.area)
	if err != nil {
		panic(err)
	}
	return *name
}

func (m *maker) attest(creation []byte) []byte {
	a := tpm2.TPMSAttest{Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestCreation, ExtraData: tpm2.TPM2BData{Buffer: nonce},
		QualifiedSigner: tpm2.TPM2BName{Buffer: parentName},
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestCreation, &tpm2.TPMSCreationInfo{ObjectName: m.name(),
			CreationHash: tpm2.TPM2BDigest{Buffer: sum(m.hashOf(), creation)}})}
	if m.certify {
		a.Type = tpm2.TPMSTAttestCertify
		a.Attested = tpm2.NewTPMUAttest(a.Type, &tpm2.TPMSCertifyInfo{Name: m.name(), QualifiedName: m.name()})
	}
	if m.statement != nil {
		m.statement(&a)
	}
	b := tpm2.Marshal(a)
	if m.bytes != nil {
		b = m.bytes(b)
	}
	return b
}

func (m *maker) sign(t testing.TB, b []byte) []byte {
	t.Helper()
	hash, err := m.hash.Hash()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := rsa.SignPKCS1v15(nil, m.ak, hash, sum(hash, b))
	if m.scheme == tpm2.TPMAlgRSAPSS {
		signature, err = rsa.SignPSS(rand.Reader, m.ak, hash, sum(hash, b), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: m.scheme,
		Signature: tpm2.NewTPMUSignature(m.scheme, &tpm2.TPMSSignatureRSA{Hash: m.hash, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: signature}})})
}

func (m *maker) evidence(t testing.TB) []byte {
	t.Helper()
	p := Parts{Public: tpm2.Marshal(m.area), Creation: tpm2.Marshal(m.data)}
	p.Attest = m.attest(p.Creation)
	p.Signature = m.sign(t, p.Attest)
	if m.certify {
		p.Creation = nil
	}
	if m.parts != nil {
		m.parts(&p)
	}
	text, err := p.Format()
	if err != nil {
		t.Fatal(err)
	}
	if m.text != nil {
		text = m.text(text)
	}
	return text
}
