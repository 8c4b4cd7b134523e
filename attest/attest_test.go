package attest

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func anchor(t testing.TB) *Anchor {
	t.Helper()
	a, err := NewAnchor(&software().ak.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestVerify(t *testing.T) {
	for name, change := range map[string]func(*maker){
		"as tpmkey makes it": func(*maker) {},
		"by TPM2_Certify":    func(m *maker) { m.certify = true },
		"PSS":                func(m *maker) { m.scheme = tpm2.TPMAlgRSAPSS },
		"SHA-512":            func(m *maker) { m.hash = tpm2.TPMAlgSHA512 },
		"a Name of SHA-384":  func(m *maker) { m.area.NameAlg = tpm2.TPMAlgSHA384 },
		"only for signing":   func(m *maker) { m.area.ObjectAttributes.Decrypt = false },
	} {
		m := good()
		change(m)
		e, err := Verify(m.evidence(t), anchor(t), nonce)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !e.Public.Equal(&software().web.PublicKey) || !e.Sign || e.Decrypt != bool(m.area.ObjectAttributes.Decrypt) || !bytes.Equal(e.Name, m.name().Buffer) ||
			!bytes.Equal(e.Nonce, nonce) || e.Restricted || (e.Creation == nil) != m.certify {
			t.Errorf("%s: %+v", name, e)
		}
		if c := e.Creation; c != nil && (string(c.Challenge) != "challenge" || !bytes.Equal(c.ParentName, parentName)) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if _, err := Verify(good().evidence(t), anchor(t), nil); err != nil {
		t.Errorf("without asking for a nonce: %v", err)
	}
}

// marks changes the attributes of the attested key.
func marks(change func(*tpm2.TPMAObject)) func(*maker) {
	return func(m *maker) { change(&m.area.ObjectAttributes) }
}

func parms(change func(*tpm2.TPMSRSAParms)) func(*maker) {
	return func(m *maker) {
		p := tpm2.TPMSRSAParms{KeyBits: 2048}
		change(&p)
		m.area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &p)
	}
}

func modulus(n *big.Int) func(*maker) {
	return func(m *maker) {
		parms(func(p *tpm2.TPMSRSAParms) { p.KeyBits = tpm2.TPMKeyBits(n.BitLen()) })(m)
		m.area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: n.Bytes()})
	}
}

// statement changes what is signed, before it is signed.
func statement(change func(*tpm2.TPMSAttest)) func(*maker) {
	return func(m *maker) { m.statement = change }
}

// signed changes the bytes that are signed.
func signed(change func([]byte) []byte) func(*maker) { return func(m *maker) { m.bytes = change } }

// parts changes what was signed afterwards.
func parts(change func(*Parts)) func(*maker) { return func(m *maker) { m.parts = change } }

func text(change func([]byte) []byte) func(*maker) { return func(m *maker) { m.text = change } }

func put16(at int, value uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], value); return b }
}

// contents changes the bytes in the PEM block.
func contents(change func([]byte) []byte) func(*maker) {
	return text(func(text []byte) []byte {
		block, _ := pem.Decode(text)
		return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: change(block.Bytes)})
	})
}

func even() *big.Int { return new(big.Int).SetBit(software().web.N, 0, 0) }

// rocaModulus has the fingerprint: it is a power of 65537 modulo all the primes up to 167.
func rocaModulus() *big.Int {
	n, step := big.NewInt(65537), big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			step.Mul(step, big.NewInt(p))
		}
	}
	top := new(big.Int).Lsh(big.NewInt(1), 2047)
	return n.Add(n, step.Mul(step, top.Div(top, step).Add(top, big.NewInt(1))))
}

// Everything that evidence can have wrong, one thing at a time, signed by the right key unless it says otherwise.
var forgeries = []struct {
	name   string
	change func(*maker)
	want   error
	words  string
}{
	{"another attestation key", func(m *maker) { m.ak = software().other }, ErrSignature, "another key's"},
	{"the attested key itself signs", func(m *maker) { m.ak = software().web }, ErrSignature, "another key's"},
	{"a signature with SHA-1", func(m *maker) { m.hash = tpm2.TPMAlgSHA1 }, ErrSignature, "hash 0x4"},
	{"a signature that is none", parts(func(p *Parts) { p.Signature = []byte{0, 0x10} }), ErrSignature, "neither"},
	{"an HMAC", parts(func(p *Parts) { p.Signature = append([]byte{0, 5, 0, 0x0b}, make([]byte, 32)...) }), ErrSignature, "neither"},
	{"another scheme's name", parts(func(p *Parts) { p.Signature[1] = byte(tpm2.TPMAlgRSAPSS) }), ErrSignature, "another key's"},
	{"another hash's name", parts(func(p *Parts) { p.Signature[3] = byte(tpm2.TPMAlgSHA384) }), ErrSignature, "another key's"},
	{"a bit of the signature", parts(func(p *Parts) { p.Signature[100] ^= 1 }), ErrSignature, "another key's"},
	{"a shorter signature", parts(func(p *Parts) { p.Signature = p.Signature[:len(p.Signature)-1] }), ErrFormat, "signature is damaged"},
	{"bytes after the signature", parts(func(p *Parts) { p.Signature = append(p.Signature, 0) }), ErrFormat, "bytes follow"},
	{"a statement changed after signing", parts(func(p *Parts) { p.Attest[50] ^= 1 }), ErrSignature, "was changed"},
	{"no statement", parts(func(p *Parts) { p.Attest = nil }), ErrSignature, "was changed"},

	{"another nonce", statement(func(a *tpm2.TPMSAttest) { a.ExtraData.Buffer = []byte("another") }), ErrNonce, "616e6f74686572"},
	{"no nonce", statement(func(a *tpm2.TPMSAttest) { a.ExtraData.Buffer = nil }), ErrNonce, "it has none in"},
	{"a nonce that only begins so", statement(func(a *tpm2.TPMSAttest) { a.ExtraData.Buffer = append(bytes.Clone(nonce), 0) }), ErrNonce, ""},
	{"another magic", signed(put16(0, 0x4154)), ErrStatement, "from no TPM"},
	{"a quote", signed(put16(4, uint16(tpm2.TPMSTAttestQuote))), ErrStatement, "type 0x8018"},
	{"a signed clock", signed(put16(4, uint16(tpm2.TPMSTAttestTime))), ErrStatement, "type 0x8019"},
	{"a type that is none", signed(put16(4, 0x8000)), ErrStatement, "type 0x8000"},
	{"a statement cut short", signed(func(b []byte) []byte { return b[:len(b)-1] }), ErrFormat, "statement is damaged"},
	{"a statement of five bytes", signed(func(b []byte) []byte { return b[:5] }), ErrFormat, "5 bytes"},
	{"bytes after the statement", signed(func(b []byte) []byte { return append(b, 0) }), ErrFormat, "bytes follow"},
	{"a statement of huge sizes", signed(put16(6, 0xffff)), ErrFormat, "statement is damaged"},
	{"a signed certify with creation data", func(m *maker) { m.certify = true; m.parts = func(p *Parts) { p.Creation = tpm2.Marshal(m.data) } }, ErrFormat, "nothing vouches for"},
	{"certify of another key", func(m *maker) { m.certify = true; m.parts = exchangePublic }, ErrStatement, "about a key of Name 000b"},

	{"another public area", parts(exchangePublic), ErrStatement, "about a key of Name 000b"},
	{"attributes polished afterwards", func(m *maker) {
		m.area.ObjectAttributes.FixedTPM = false
		m.parts = func(p *Parts) {
			polished := m.area
			polished.ObjectAttributes.FixedTPM = true
			p.Public = tpm2.Marshal(polished)
		}
	}, ErrStatement, "about a key of Name"},
	{"a Name of SHA-1", func(m *maker) { m.area.NameAlg = tpm2.TPMAlgSHA1 }, ErrWeak, "hash 0x4"},
	{"no Name", parts(func(p *Parts) { copy(p.Public[2:], []byte{0, 0x10}) }), ErrWeak, "hash 0x10"},
	{"creation data changed", parts(func(p *Parts) { p.Creation[len(p.Creation)-1] ^= 1 }), ErrStatement, "creation data is another key's"},
	{"no creation data", parts(func(p *Parts) { p.Creation = nil }), ErrStatement, "creation data is another key's"},
	{"a creation hash of another hash", statement(func(a *tpm2.TPMSAttest) {
		info, _ := a.Attested.Creation()
		info.CreationHash.Buffer = append(info.CreationHash.Buffer, 0)
	}), ErrStatement, "creation data is another key's"},
	{"a key without a parent", func(m *maker) {
		m.data.ParentNameAlg, m.data.ParentName.Buffer = tpm2.TPMAlgNull, []byte{0x40, 0, 0, 1}
	}, ErrStatement, "no parent"},
	{"a parent with a weak Name", func(m *maker) { m.data.ParentNameAlg = tpm2.TPMAlgSHA1 }, ErrStatement, "no parent"},
	{"a parent's Name cut short", func(m *maker) { m.data.ParentName.Buffer = parentName[:20] }, ErrStatement, "no parent"},

	{"an imported key", marks(func(a *tpm2.TPMAObject) { a.FixedTPM, a.FixedParent, a.SensitiveDataOrigin = false, false, false }), ErrNotHardware, "only: none"},
	{"a key that can leave", marks(func(a *tpm2.TPMAObject) { a.FixedTPM, a.FixedParent = false, false }), ErrNotHardware, "only: sensitiveDataOrigin"},
	{"a key that moves with its parent", marks(func(a *tpm2.TPMAObject) { a.FixedTPM = false }), ErrNotHardware, "only: fixedParent sensitiveDataOrigin"},
	{"a key with another parent", marks(func(a *tpm2.TPMAObject) { a.FixedParent = false }), ErrNotHardware, "only: fixedTPM sensitiveDataOrigin"},
	{"a key that came from outside", marks(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), ErrNotHardware, "only: fixedTPM fixedParent"},
	{"a storage key", marks(func(a *tpm2.TPMAObject) { a.Restricted, a.SignEncrypt = true, false }), ErrUse, "a storage or attestation key"},
	{"a key that does nothing", marks(func(a *tpm2.TPMAObject) { a.SignEncrypt, a.Decrypt = false, false }), ErrUse, "not one that signs or decrypts"},
	{"an ECC key", func(m *maker) {
		m.area.Type, m.area.Unique = tpm2.TPMAlgECC, tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
		m.area.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})
	}, ErrFormat, "type 0x23, not RSA"},
	{"a key of 1024 bits", modulus(new(big.Int).SetBit(big.NewInt(1), 1023, 1)), ErrWeak, "1024 bits"},
	{"a key of 2040 bits", modulus(new(big.Int).SetBit(big.NewInt(1), 2039, 1)), ErrWeak, "2040 bits"},
	{"an even modulus", func(m *maker) { modulus(even())(m) }, ErrWeak, "is even"},
	{"a modulus that is shorter than it says", parms(func(p *tpm2.TPMSRSAParms) { p.KeyBits = 3072 }), ErrFormat, "not of the size"},
	{"a modulus with zeros before it", func(m *maker) {
		m.area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: new(big.Int).Rsh(software().web.N, 8).FillBytes(make([]byte, 256))})
	}, ErrFormat, "not of the size"},
	{"exponent 1", parms(func(p *tpm2.TPMSRSAParms) { p.Exponent = 1 }), ErrWeak, "exponent is 1"},
	{"exponent 65536", parms(func(p *tpm2.TPMSRSAParms) { p.Exponent = 65536 }), ErrWeak, "exponent is 65536"},
	{"a huge exponent", parms(func(p *tpm2.TPMSRSAParms) { p.Exponent = 0xffffffff }), ErrWeak, "exponent is 4294967295"},
	{"a ROCA modulus", modulus(rocaModulus()), ErrWeak, "ROCA"},

	{"bytes after the public area", parts(func(p *Parts) { p.Public = append(p.Public, 0) }), ErrFormat, "public area"},
	{"a public area cut short", parts(func(p *Parts) { p.Public = p.Public[:len(p.Public)-1] }), ErrFormat, "public area is damaged"},
	{"no public area", parts(func(p *Parts) { p.Public = nil }), ErrFormat, "public area is damaged"},
	{"bytes after the parts", contents(func(b []byte) []byte { return append(b, 0) }), ErrFormat, "1 bytes follow"},
	{"parts cut short", contents(func(b []byte) []byte { return b[:len(b)-1] }), ErrFormat, "cut short"},
	{"parts of huge sizes", contents(put16(0, 0xffff)), ErrFormat, "cut short"},
	{"an empty block", contents(func([]byte) []byte { return nil }), ErrFormat, "cut short"},
	{"nothing", text(func([]byte) []byte { return nil }), ErrFormat, "no whole PEM block"},
	{"half a text", text(func(b []byte) []byte { return b[:len(b)/2] }), ErrFormat, "no whole PEM block"},
	{"words before it", text(func(b []byte) []byte { return append([]byte("hello\n"), b...) }), ErrFormat, "more than the PEM block"},
	{"words after it", text(func(b []byte) []byte { return append(b, "hello\n"...) }), ErrFormat, "more than the PEM block"},
	{"twice", text(func(b []byte) []byte { return append(b, b...) }), ErrFormat, "more than the PEM block"},
	{"another version", text(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("EVIDENCE 1"), []byte("EVIDENCE 2")) }), ErrFormat, "not a TPMKEY EVIDENCE 1"},
	{"a header", text(func(b []byte) []byte { return bytes.Replace(b, []byte("1-----\n"), []byte("1-----\nA: b\n\n"), 1) }), ErrFormat, "more than the PEM block"},
	{"a huge text", text(func(b []byte) []byte { return append(b, make([]byte, MaxSize)...) }), ErrFormat, "more than 16384"},
}

// exchangePublic puts another key of the same kind in.
func exchangePublic(p *Parts) { p.Public = tpm2.Marshal(areaOf(&software().other.PublicKey)) }

func TestForgeries(t *testing.T) {
	for _, row := range forgeries {
		m := good()
		row.change(m)
		e, err := Verify(m.evidence(t), anchor(t), nonce)
		if !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.words) || e != nil {
			t.Errorf("%s: %+v, %v; want %q", row.name, e, err, row.words)
		}
	}
}

// No byte can be another one.
func TestEveryByte(t *testing.T) {
	block, _ := pem.Decode(good().evidence(t))
	a := anchor(t)
	for at := range block.Bytes {
		changed := bytes.Clone(block.Bytes)
		changed[at] ^= 1 << (at % 8)
		if e, err := Verify(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: changed}), a, nonce); err == nil || e != nil {
			t.Errorf("byte %d does not count", at)
		}
	}
}

func TestPartsTooLong(t *testing.T) {
	if text, err := (Parts{Public: make([]byte, 1<<16)}).Format(); !errors.Is(err, ErrFormat) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
