package filter

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// holding is a caller who holds a storage primary, an RSA key and a session, on a machine with a storage root key.
type holding map[uint32]Object

func (h holding) Object(handle uint32) (Object, bool) { o, ok := h[handle]; return o, ok }
func (h holding) HoldsSession(handle uint32) bool {
	return handle == 0x02000001 || handle == 0x02000002
}

func (h holding) SavedSession(handle uint32) bool { return handle == 0x02000003 }

func (h holding) Caller() uint32 { return 1000 }

const (
	primaryHandle = 0x80000001
	keyHandle     = 0x80000002
	signOnly      = 0x80000003
	daKey         = 0x80000004
	foreign       = 0x80000099
	keyAttributes = fixedParentAttributes | wire.NoDA
)

var caller = holding{
	wire.SRK:      {tpm2.TPMAlgECC, fixedParentAttributes | wire.Restricted | wire.Decrypt | wire.NoDA, false},
	primaryHandle: {tpm2.TPMAlgECC, fixedParentAttributes | wire.Restricted | wire.Decrypt | wire.NoDA, false},
	keyHandle:     {tpm2.TPMAlgRSA, keyAttributes | wire.Sign | wire.Decrypt, false},
	signOnly:      {tpm2.TPMAlgRSA, keyAttributes | wire.Sign, false},
	daKey:         {tpm2.TPMAlgRSA, fixedParentAttributes | wire.Sign | wire.Decrypt, false},
}

type auth struct {
	session    uint32
	attributes uint8
}

var password = []auth{{wire.RSPassword, 0}}

// command builds a command from its parts, in the order in which they are sent.
func command(code tpm2.TPMCC, handles []uint32, auths []auth, params ...[]byte) []byte {
	tag := tpm2.TPMSTNoSessions
	if auths != nil {
		tag = tpm2.TPMSTSessions
	}
	m := wire.NewMessage(tag, uint32(code))
	for _, h := range handles {
		m.Uint32(h)
	}
	if auths != nil {
		m.Uint32(uint32(9 * len(auths)))
	}
	for _, a := range auths {
		m.Uint32(a.session).Uint16(0).Uint8(a.attributes).Uint16(0)
	}
	return m.Raw(bytes.Join(params, nil)).Bytes()
}

func sized(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func public(change func(p *tpm2.TPMTPublic)) []byte {
	p := tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: true, SignEncrypt: true, Decrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{}),
	}
	change(&p)
	return sized(tpm2.Marshal(p))
}

func template(base tpm2.TPMTPublic, change func(p *tpm2.TPMTPublic)) []byte {
	change(&base)
	return sized(tpm2.Marshal(base))
}

func same(*tpm2.TPMTPublic) {}

func rsaParameters(scheme tpm2.TPMTRSAScheme, bits tpm2.TPMKeyBits, exponent uint32) func(p *tpm2.TPMTPublic) {
	return func(p *tpm2.TPMTPublic) {
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{Scheme: scheme, KeyBits: bits, Exponent: exponent})
	}
}

var (
	owner, nullHandle = uint32(tpm2.TPMRHOwner), uint32(tpm2.TPMRHNull)

	emptySensitive = []byte{0, 4, 0, 0, 0, 0}
	empty          = []byte{0, 0}
	noPCR          = []byte{0, 0, 0, 0}
	onePCR         = []byte{0, 0, 0, 1, 0, 0xb, 3, 1, 0, 0}
	digest20       = sized(make([]byte, 20))
	rsassa         = []byte{0, 0x14, 0, 0x0b}
	nullScheme     = []byte{0, 0x10}
	ticket         = []byte{0x80, 0x24, 0x40, 0, 0, 7, 0, 0}
	nonce16        = sized(make([]byte, 16))
	cipher256      = sized(make([]byte, 256))
	hmacAESCFB     = []byte{0, 0, 6, 0, 128, 0, 0x43, 0, 0x0b}
	hmacNull       = []byte{0, 0, 0x10, 0, 0x0b}
)

func createPrimary(hierarchy uint32, inPublic []byte) []byte {
	return command(tpm2.TPMCCCreatePrimary, []uint32{hierarchy}, password, emptySensitive, inPublic, empty, noPCR)
}

func create(inPublic []byte) []byte {
	return command(tpm2.TPMCCCreate, []uint32{primaryHandle}, password, emptySensitive, inPublic, empty, noPCR)
}

func load(parent uint32, inPublic []byte) []byte {
	return command(tpm2.TPMCCLoad, []uint32{parent}, password, sized(make([]byte, 200)), inPublic)
}

func sign(key uint32, auths []auth, scheme, ticket []byte) []byte {
	return command(tpm2.TPMCCSign, []uint32{key}, auths, digest20, scheme, ticket)
}

func startSession(tpmKey, bind uint32, nonce, rest []byte) []byte {
	return command(tpm2.TPMCCStartAuthSession, []uint32{tpmKey, bind}, nil, nonce, empty, rest)
}

func uint32s(values ...uint32) []byte {
	m := wire.NewMessage(0, 0)
	for _, v := range values {
		m.Uint32(v)
	}
	return m.Bytes()[wire.HeaderSize:]
}

const yes = tpm2.TPMRC(0)

var checkRows = []struct {
	want    tpm2.TPMRC
	name    string
	command []byte
}{
	{yes, "ECC storage primary", createPrimary(owner, template(tpm2.ECCSRKTemplate, same))},
	{yes, "RSA storage primary", createPrimary(owner, template(tpm2.RSASRKTemplate, same))},
	{yes, "… in the null hierarchy", createPrimary(nullHandle, template(tpm2.RSASRKTemplate, same))},
	{yes, "… with noDA clear, as tpm2_createprimary makes it", createPrimary(owner, template(tpm2.RSASRKTemplate, func(p *tpm2.TPMTPublic) { p.ObjectAttributes.NoDA = false }))},
	{yes, "… with an empty unique field", createPrimary(owner, template(tpm2.RSASRKTemplate, func(p *tpm2.TPMTPublic) {
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	}))},
	{RCDenied, "… with 255 zeros", createPrimary(owner, template(tpm2.RSASRKTemplate, func(p *tpm2.TPMTPublic) {
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: make([]byte, 255)})
	}))},
	{RCDenied, "… with a unique field of its own", createPrimary(owner, template(tpm2.RSASRKTemplate, func(p *tpm2.TPMTPublic) {
		p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: bytes.Repeat([]byte{1}, 256)})
	}))},
	{RCDenied, "primary in the endorsement hierarchy", createPrimary(uint32(tpm2.TPMRHEndorsement), template(tpm2.RSASRKTemplate, same))},
	{RCDenied, "primary in the platform hierarchy", createPrimary(uint32(tpm2.TPMRHPlatform), template(tpm2.RSASRKTemplate, same))},
	{RCDenied, "primary under lockout", createPrimary(uint32(tpm2.TPMRHLockout), template(tpm2.RSASRKTemplate, same))},
	{RCDenied, "endorsement key", createPrimary(owner, template(tpm2.RSAEKTemplate, same))},
	{RCDenied, "signing primary", createPrimary(owner, public(same))},
	{RCDenied, "primary with stClear", createPrimary(owner, template(tpm2.ECCSRKTemplate, func(p *tpm2.TPMTPublic) { p.ObjectAttributes.STClear = true }))},
	{RCDenied, "primary with PCRs in its creation data", command(tpm2.TPMCCCreatePrimary, []uint32{owner}, password, emptySensitive, template(tpm2.ECCSRKTemplate, same), empty, onePCR)},
	{RCDenied, "primary with 65 bytes from outside", command(tpm2.TPMCCCreatePrimary, []uint32{owner}, password, emptySensitive, template(tpm2.ECCSRKTemplate, same), sized(make([]byte, 65)), noPCR)},

	{yes, "create an RSA key", create(public(same))},
	{yes, "create with noDA clear", create(public(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.NoDA = false }))},
	{yes, "create RSA 4096", create(public(rsaParameters(tpm2.TPMTRSAScheme{}, 4096, 65537)))},
	{yes, "create under the storage root key", command(tpm2.TPMCCCreate, []uint32{wire.SRK}, password, emptySensitive, public(same), empty, noPCR)},
	{RCDenied, "create RSA 1024", create(public(rsaParameters(tpm2.TPMTRSAScheme{}, 1024, 0)))},
	{RCDenied, "create with an even exponent", create(public(rsaParameters(tpm2.TPMTRSAScheme{}, 2048, 4)))},
	{RCDenied, "create a restricted key", create(public(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = true }))},
	{RCDenied, "create a key that can leave", create(public(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false }))},
	{RCDenied, "create a key with a policy", create(public(func(p *tpm2.TPMTPublic) { p.AuthPolicy.Buffer = make([]byte, 32) }))},
	{RCDenied, "create with SHA-1 names", create(public(func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA1 }))},
	{RCDenied, "create a storage key", create(template(tpm2.RSASRKTemplate, same))},
	{RCDenied, "create an ECC key", create(template(tpm2.ECCSRKTemplate, same))},
	{RCDenied, "create a sealed blob", create(template(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{})}, same))},
	{RCDenied, "create under a key that is no parent", command(tpm2.TPMCCCreate, []uint32{keyHandle}, password, emptySensitive, public(same), empty, noPCR)},
	{RCDenied, "create with PCRs in its creation data", command(tpm2.TPMCCCreate, []uint32{primaryHandle}, password, emptySensitive, public(same), empty, onePCR)},
	{0x910, "create under somebody else's primary", command(tpm2.TPMCCCreate, []uint32{foreign}, password, emptySensitive, public(same), empty, noPCR)},

	{yes, "load an RSA key", load(primaryHandle, public(same))},
	{yes, "load under the storage root key", load(wire.SRK, public(same))},
	{yes, "load a migratable key", load(wire.SRK, public(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false }))},
	{RCDenied, "load a restricted key", load(wire.SRK, public(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = true }))},
	{RCDenied, "load a storage key", load(wire.SRK, template(tpm2.RSASRKTemplate, same))},
	{RCDenied, "load below the endorsement key", load(0x81010001, public(same))},
	{RCDenied, "load below a hierarchy", load(owner, public(same))},

	{yes, "sign", sign(keyHandle, password, rsassa, ticket)},
	{yes, "sign with the key's own scheme", sign(signOnly, password, nullScheme, ticket)},
	{yes, "sign with a session", sign(keyHandle, []auth{{0x02000001, 0x21}}, rsassa, ticket)},
	{RCDenied, "sign with ECDSA", sign(keyHandle, password, []byte{0, 0x18, 0, 0x0b}, ticket)},
	{RCDenied, "sign with HMAC (CVE-2025-2884)", sign(keyHandle, password, []byte{0, 5, 0, 0x0b}, ticket)},
	{RCDenied, "sign with another kind of ticket", sign(keyHandle, password, rsassa, []byte{0x80, 0x22, 0x40, 0, 0, 7, 0, 0})},
	{RCDenied, "sign with a storage key", sign(primaryHandle, password, rsassa, ticket)},
	{RCDenied, "sign with a persistent key", sign(0x81000002, password, rsassa, ticket)},
	{0x910, "sign with somebody else's key", sign(foreign, password, rsassa, ticket)},
	{0x910, "sign with the chip's own handle", sign(0x80000000, password, rsassa, ticket)},

	{0x918, "another's session", sign(keyHandle, []auth{{0x02000009, 1}}, rsassa, ticket)},
	{0x919, "another's session, second", sign(keyHandle, []auth{{wire.RSPassword, 0}, {0x02000009, 1}}, rsassa, ticket)},
	{0x918, "a policy session", sign(keyHandle, []auth{{0x03000001, 1}}, rsassa, ticket)},
	{RCDenied, "an audit session", sign(keyHandle, []auth{{0x02000001, 0x81}}, rsassa, ticket)},
	{RCDenied, "an exclusive audit session", sign(keyHandle, []auth{{0x02000001, 0x83}}, rsassa, ticket)},
	{RCDenied, "reserved session attributes", sign(keyHandle, []auth{{0x02000001, 0x09}}, rsassa, ticket)},
	{RCDenied, "a password that decrypts", sign(keyHandle, []auth{{wire.RSPassword, 0x20}}, rsassa, ticket)},
	{RCDenied, "a session twice", sign(keyHandle, []auth{{0x02000001, 1}, {0x02000001, 1}}, rsassa, ticket)},
	{RCDenied, "two sessions that decrypt", sign(keyHandle, []auth{{0x02000001, 0x21}, {0x02000002, 0x21}}, rsassa, ticket)},
	{RCDenied, "an encrypted signature", sign(keyHandle, []auth{{0x02000001, 0x41}}, rsassa, ticket)},
	{RCDenied, "a hierarchy as a session", sign(keyHandle, []auth{{uint32(tpm2.TPMRHLockout), 0}}, rsassa, ticket)},

	{yes, "decrypt RSAES", command(tpm2.TPMCCRSADecrypt, []uint32{keyHandle}, password, cipher256, []byte{0, 0x15}, empty)},
	{yes, "decrypt OAEP with a label", command(tpm2.TPMCCRSADecrypt, []uint32{keyHandle}, password, cipher256, []byte{0, 0x17, 0, 0x0b}, sized([]byte("x\x00")))},
	{yes, "raw RSA", command(tpm2.TPMCCRSADecrypt, []uint32{keyHandle}, password, cipher256, nullScheme, empty)},
	{RCDenied, "decrypt with a label that does not end", command(tpm2.TPMCCRSADecrypt, []uint32{keyHandle}, password, cipher256, []byte{0, 0x17, 0, 0x0b}, sized([]byte("x")))},
	{RCDenied, "decrypt OAEP with a strange hash", command(tpm2.TPMCCRSADecrypt, []uint32{keyHandle}, password, cipher256, []byte{0, 0x17, 0, 0x12}, empty)},
	{RCDenied, "decrypt with a signing key", command(tpm2.TPMCCRSADecrypt, []uint32{signOnly}, password, cipher256, nullScheme, empty)},
	{RCDenied, "decrypt with the storage root key", command(tpm2.TPMCCRSADecrypt, []uint32{wire.SRK}, password, cipher256, nullScheme, empty)},
	{yes, "encrypt", command(tpm2.TPMCCRSAEncrypt, []uint32{keyHandle}, nil, cipher256, nullScheme, empty)},

	{yes, "change a PIN", command(tpm2.TPMCCObjectChangeAuth, []uint32{keyHandle, wire.SRK}, password, sized([]byte("new")))},
	{RCDenied, "change the storage root key's auth", command(tpm2.TPMCCObjectChangeAuth, []uint32{wire.SRK, wire.SRK}, password, sized([]byte("new")))},

	{yes, "flush a key", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(keyHandle))},
	{yes, "flush a session", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(0x02000001))},
	{yes, "flush a saved session", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(0x02000003))},
	{0x918, "use a saved session", command(tpm2.TPMCCGetRandom, nil, []auth{{0x02000003, 0x41}}, []byte{0, 8})},
	{RCNoValue, "flush another's key", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(foreign))},
	{RCNoValue, "flush another's session", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(0x02000009))},
	{RCNoValue, "flush the storage root key", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(wire.SRK))},

	{yes, "read one's own key", command(tpm2.TPMCCReadPublic, []uint32{keyHandle}, nil)},
	{yes, "read the storage root key", command(tpm2.TPMCCReadPublic, []uint32{wire.SRK}, nil)},
	{RCDenied, "read the endorsement key", command(tpm2.TPMCCReadPublic, []uint32{0x81010001}, nil)},

	{yes, "session, salted", startSession(primaryHandle, nullHandle, nonce16, hmacAESCFB)},
	{yes, "session, unsalted", startSession(nullHandle, nullHandle, nonce16, hmacNull)},
	{RCDenied, "session bound to lockout", startSession(nullHandle, uint32(tpm2.TPMRHLockout), nonce16, hmacNull)},
	{RCDenied, "session bound to a key", startSession(nullHandle, keyHandle, nonce16, hmacNull)},
	{0x911, "session bound to another's key", startSession(nullHandle, foreign, nonce16, hmacNull)},
	{RCDenied, "session salted with a decryption key", startSession(keyHandle, nullHandle, nonce16, hmacNull)},
	{RCDenied, "policy session", startSession(nullHandle, nullHandle, nonce16, []byte{1, 0, 0x10, 0, 0x0b})},
	{RCDenied, "session with SHA-1", startSession(nullHandle, nullHandle, nonce16, []byte{0, 0, 0x10, 0, 4})},
	{RCDenied, "session with XOR", startSession(nullHandle, nullHandle, nonce16, []byte{0, 0, 0x0a, 0, 0x0b, 0, 0x0b})},
	{RCDenied, "session with a short nonce", startSession(nullHandle, nullHandle, sized(make([]byte, 15)), hmacNull)},

	{yes, "capability: commands", command(tpm2.TPMCCGetCapability, nil, nil, uint32s(2, 0, 100))},
	{RCDenied, "capability with a session", command(tpm2.TPMCCGetCapability, nil, []auth{{0x02000001, 1}}, uint32s(2, 0, 100))},
	{RCDenied, "capability: PCRs", command(tpm2.TPMCCGetCapability, nil, nil, uint32s(5, 0, 100))},
	{RCDenied, "capability: vendor", command(tpm2.TPMCCGetCapability, nil, nil, uint32s(0x100, 0, 100))},
	{yes, "random", command(tpm2.TPMCCGetRandom, nil, nil, []byte{0, 64})},
	{RCDenied, "65 random bytes", command(tpm2.TPMCCGetRandom, nil, nil, []byte{0, 65})},
	{RCDenied, "321 random bytes", command(tpm2.TPMCCGetRandom, nil, nil, []byte{1, 65})},
	{yes, "test RSA 3072", command(tpm2.TPMCCTestParms, nil, nil, []byte{0, 1, 0, 0x10, 0, 0x10, 0x0c, 0, 0, 0, 0, 0})},
	{RCDenied, "test ECC", command(tpm2.TPMCCTestParms, nil, nil, []byte{0, 0x23, 0, 0x10, 0, 0x10, 0, 3, 0, 0x10})},

	{RCDenied, "Clear", command(tpm2.TPMCCClear, []uint32{uint32(tpm2.TPMRHLockout)}, password)},
	{RCDenied, "CertifyX509 (2026, libtpms #617)", command(tpm2.TPMCCCertifyX509, []uint32{keyHandle, keyHandle}, []auth{{wire.RSPassword, 0}, {wire.RSPassword, 0}}, empty, empty, empty)},
	{RCDenied, "PolicyTemplate (2026, libtpms #615)", command(tpm2.TPMCCPolicyTemplate, []uint32{0x02000001}, nil, empty)},
	{RCDenied, "Import (2026, libtpms #619)", command(tpm2.TPMCCImport, []uint32{primaryHandle}, password, empty, public(same), empty, empty, nullScheme)},
	{RCDenied, "EncryptDecrypt2 (CVE-2026-21444)", command(tpm2.TPMCCEncryptDecrypt2, []uint32{keyHandle}, password, empty, []byte{0}, nullScheme, empty)},
}

func TestCheck(t *testing.T) {
	for _, row := range checkRows {
		c, err := wire.Parse(row.command)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		d := Default().Check(&c, caller)
		if d.Allowed != (row.want == yes) || d.RC != row.want {
			t.Errorf("%s: %+v, want 0x%x", row.name, d, uint32(row.want))
		}
		if !d.Allowed && (d.Rule == "" || d.Why == "") {
			t.Errorf("%s: refused without a rule and a reason: %+v", row.name, d)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, row := range []struct {
		err  error
		want tpm2.TPMRC
	}{{wire.ErrUnknown, RCDenied}, {wire.ErrSize, tpm2.TPMRCCommandSize}, {wire.ErrParams, tpm2.TPMRCSize}} {
		if d := Malformed(row.err); d.Allowed || d.RC != row.want {
			t.Errorf("%v: %+v", row.err, d)
		}
	}
}

func TestDARelevant(t *testing.T) {
	for _, row := range []struct {
		name    string
		command []byte
		want    bool
	}{
		{"key with noDA", sign(keyHandle, password, rsassa, ticket), false},
		{"key of another tool", sign(daKey, password, rsassa, ticket), true},
		{"no authorization", command(tpm2.TPMCCReadPublic, []uint32{daKey}, nil), false},
		{"the storage root key", load(wire.SRK, public(same)), false},
		{"a hierarchy", createPrimary(owner, template(tpm2.ECCSRKTemplate, same)), false},
	} {
		c, err := wire.Parse(row.command)
		if err != nil || DARelevant(&c, 0, caller) != row.want {
			t.Errorf("%s: want %v, %v", row.name, row.want, err)
		}
	}
	for rc, want := range map[tpm2.TPMRC]bool{0x98E: true, 0x9A2: true, 0xA8E: true, 0x921: false, 0: false, 0x1D5: false} {
		if DAFailure(rc) != want {
			t.Errorf("0x%x as a failed authorization: %v", uint32(rc), !want)
		}
	}
}

// The default as a whole: a row for each command there is, a reason in each, a rule for each handle, parameters that are read
// wherever the command gets through.
func TestTable(t *testing.T) {
	p := Default().profiles[0]
	for _, shape := range wire.Shapes() {
		r := p.index[shape.Code]
		switch {
		case r == nil || r.reason == "":
			t.Errorf("%s has no row or no reason", shape.Name)
		case r.verdict == Allow && (r.looksAtHandles() != shape.Handles || !shape.ParamsKnown()):
			t.Errorf("%s is let through without a look at every handle and parameter", shape.Name)
		case r.verdict == Allow && shape.WritesNV():
			t.Errorf("%s is let through and may write to NV memory", shape.Name)
		}
	}
	if len(p.index) != len(wire.Shapes()) || len(p.rows) != len(p.index) || p.base != nil {
		t.Errorf("%d rows, %d different, for %d commands", len(p.rows), len(p.index), len(wire.Shapes()))
	}
}

func TestDefaultAllowsThirteen(t *testing.T) {
	reach, answered := 0, 0
	for _, shape := range wire.Shapes() {
		switch f := Default(); {
		case f.Answers(shape.Code):
			answered++
		case f.Allows(shape.Code):
			reach++
		}
	}
	if reach != 13 || answered != 6 {
		t.Errorf("%d commands reach the chip and %d are answered, the policy names 13 and 6", reach, answered)
	}
}

func TestZeroFilterDenies(t *testing.T) {
	c, err := wire.Parse(command(tpm2.TPMCCGetRandom, nil, nil, []byte{0, 8}))
	if err != nil {
		t.Fatal(err)
	}
	if d := new(Filter).Check(&c, caller); d.Allowed || d.RC != RCDenied {
		t.Errorf("a filter without rows: %+v", d)
	}
}

// FuzzCheck: whatever parses gets a decision, and nothing outside the 13 commands is let through.
func FuzzCheck(f *testing.F) {
	for _, row := range checkRows {
		f.Add(row.command)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := wire.Parse(b)
		if err != nil {
			return
		}
		if d := Default().Check(&c, caller); d.Allowed && !Default().Allows(c.Code) {
			t.Errorf("%x is let through", b)
		}
	})
}

func BenchmarkCheckLoad(b *testing.B) {
	command := load(primaryHandle, public(same))
	b.ReportAllocs()
	for b.Loop() {
		c, err := wire.Parse(command)
		if err != nil || !Default().Check(&c, caller).Allowed {
			b.Fatal("refused")
		}
	}
}
