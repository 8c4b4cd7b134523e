package filter

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

const (
	eccKey    = 0x80000005
	secret    = 0x80000006
	deriving  = 0x80000007 // a parent that keys are derived from
	attesting = 0x80000008
	ownPolicy = 0x02000001
)

// widely is a caller who holds what the wider profiles are about.
var widely = holding{
	wire.SRK:      caller[wire.SRK],
	primaryHandle: caller[primaryHandle],
	keyHandle:     caller[keyHandle],
	eccKey:        {Type: tpm2.TPMAlgECC, Attributes: keyAttributes | wire.Sign | wire.Decrypt},
	secret:        {Type: tpm2.TPMAlgKeyedHash, Attributes: wire.FixedTPM | wire.FixedParent | wire.UserWithAuth},
	deriving:      {Type: tpm2.TPMAlgKeyedHash, Attributes: fixedParentAttributes | wire.Restricted | wire.Decrypt},
	attesting:     {Type: tpm2.TPMAlgRSA, Attributes: keyAttributes | wire.Restricted | wire.Sign},
	0x81010002:    {Type: tpm2.TPMAlgRSA, Attributes: fixedParentAttributes | wire.Restricted | wire.Sign},
}

func sealed(change func(p *tpm2.TPMTPublic)) []byte {
	return template(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{})}, change)
}

func withPolicy(p *tpm2.TPMTPublic) { p.AuthPolicy.Buffer = make([]byte, 32) }

func hmacKey(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt = true }

func newECC(p *tpm2.TPMTPublic) {
	p.Type, p.Unique = tpm2.TPMAlgECC, tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})
}

func external(inPublic []byte, hierarchy uint32) []byte {
	return command(tpm2.TPMCCLoadExternal, nil, nil, empty, inPublic, uint32s(hierarchy))
}

func createLoaded(parent uint32, inPublic []byte) []byte {
	return command(tpm2.TPMCCCreateLoaded, []uint32{parent}, password, emptySensitive, inPublic)
}

func certify(object, key uint32, scheme []byte) []byte {
	return command(tpm2.TPMCCCertify, []uint32{object, key}, []auth{{wire.RSPassword, 0}, {wire.RSPassword, 0}}, digest20, scheme)
}

func certifyCreation(key, object uint32) []byte {
	return command(tpm2.TPMCCCertifyCreation, []uint32{key, object}, password, digest20, digest20, rsassa, creationTicket)
}

// creationTicket is one of a key in the owner hierarchy.
var creationTicket = append([]byte{0x80, 0x21, 0x40, 0, 0, 1}, digest20...)

// attestationKey changes a public area into one, and then as told.
func attestationKey(change func(p *tpm2.TPMTPublic)) func(p *tpm2.TPMTPublic) {
	return func(p *tpm2.TPMTPublic) {
		p.ObjectAttributes.Restricted, p.ObjectAttributes.Decrypt = true, false
		p.Parameters = signing(tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA256)
		change(p)
	}
}

func signing(scheme, hash tpm2.TPMAlgID) tpm2.TPMUPublicParms {
	return tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: tpm2.TPMTRSAScheme{Scheme: scheme,
		Details: tpm2.NewTPMUAsymScheme(scheme, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: hash})}})
}

func importKey(objectPublic []byte) []byte {
	return command(tpm2.TPMCCImport, []uint32{primaryHandle}, password, empty, objectPublic, digest20, empty, nullScheme)
}

func movable(p *tpm2.TPMTPublic) {
	p.ObjectAttributes.FixedTPM, p.ObjectAttributes.FixedParent = false, false
}

func movableWithPolicy(p *tpm2.TPMTPublic) { movable(p); withPolicy(p) }

var policyNull = []byte{1, 0, 0x10, 0, 0x0b}

// What the wider profiles add to rsa, and where it ends. The caller is uid 1000.
var profileRows = []struct {
	profile string
	want    tpm2.TPMRC
	name    string
	command []byte
}{
	{"tss", yes, "create the secret that opens a token", create(sealed(same))},
	{"tss", yes, "load it", load(primaryHandle, sealed(same))},
	{"tss", yes, "open a token", command(tpm2.TPMCCUnseal, []uint32{secret}, password)},
	{"tss", yes, "change its PIN", command(tpm2.TPMCCObjectChangeAuth, []uint32{secret, primaryHandle}, password, sized([]byte("new")))},
	{"tss", yes, "create an RSA key in one step", createLoaded(primaryHandle, public(same))},
	{"tss", yes, "create an ECC key in one step", createLoaded(wire.SRK, public(newECC))},
	{"tss", yes, "create an ECC key", create(public(newECC))},
	{"tss", yes, "a session bound to the parent", startSession(primaryHandle, primaryHandle, nonce16, hmacAESCFB)},
	{"tss", yes, "read a public key", external(public(newECC), nullHandle)},
	{"tss", yes, "agree on a secret", command(tpm2.TPMCCECDHZGen, []uint32{eccKey}, password, sized(append(sized(make([]byte, 32)), sized(make([]byte, 32))...)))},
	{"tss", RCDenied, "load a secret whose lock is the state of the machine", load(primaryHandle, sealed(withPolicy))},
	{"tss", RCDenied, "load a secret that its password does not open", load(primaryHandle, sealed(func(p *tpm2.TPMTPublic) { p.ObjectAttributes.UserWithAuth = false }))},
	{"tss", RCDenied, "create an HMAC key", create(sealed(hmacKey))},
	{"tss", RCDenied, "load an HMAC key", load(primaryHandle, sealed(hmacKey))},
	{"tss", RCDenied, "unseal a key", command(tpm2.TPMCCUnseal, []uint32{keyHandle}, password)},
	{"tss", RCDenied, "unseal something persistent", command(tpm2.TPMCCUnseal, []uint32{0x81000005}, password)},
	{"tss", RCDenied, "a primary in disguise", createLoaded(owner, public(same))},
	{"tss", RCDenied, "a storage key in one step", createLoaded(primaryHandle, template(tpm2.RSASRKTemplate, same))},
	{"tss", RCDenied, "a derived key", createLoaded(deriving, public(newECC))},
	{"tss", RCDenied, "a session bound to a key", startSession(primaryHandle, keyHandle, nonce16, hmacAESCFB)},
	{"tss", RCDenied, "a session bound to lockout", startSession(nullHandle, uint32(tpm2.TPMRHLockout), nonce16, hmacNull)},
	{"tss", RCDenied, "a policy session", startSession(nullHandle, nullHandle, nonce16, policyNull)},
	{"tss", RCDenied, "load a key pair from outside", command(tpm2.TPMCCLoadExternal, nil, nil, sensitiveRSA, public(same), uint32s(nullHandle))},
	{"tss", RCDenied, "a public key in the owner hierarchy", external(public(same), owner)},
	{"tss", RCDenied, "a parent's public key", external(template(tpm2.RSASRKTemplate, same), nullHandle)},
	{"tss", RCDenied, "keep a key in the chip", command(tpm2.TPMCCEvictControl, []uint32{owner, keyHandle}, password, uint32s(0x81000005))},
	{"tss", RCDenied, "keep a parent in the chip", command(tpm2.TPMCCEvictControl, []uint32{owner, primaryHandle}, password, uint32s(wire.SRK))},

	{"rsa+ecc", yes, "create an ECC key", create(public(newECC))},
	{"rsa+ecc", yes, "sign with it", sign(eccKey, password, []byte{0, 0x18, 0, 0x0b}, ticket)},
	{"rsa+ecc", RCDenied, "create a secret", create(sealed(same))},

	{"rsa+import", yes, "import a key", importKey(public(movable))},
	{"rsa+import", RCDenied, "import a key that the lockout counts", importKey(public(func(p *tpm2.TPMTPublic) { movable(p); p.ObjectAttributes.NoDA = false }))},
	{"rsa+import", RCDenied, "import a parent", importKey(template(tpm2.RSASRKTemplate, movable))},
	{"rsa+import", RCDenied, "import a key that says that it was made here", importKey(public(same))},

	{"migrate", yes, "create a key that can be duplicated", create(public(movableWithPolicy))},
	{"migrate", yes, "load it", load(primaryHandle, public(movableWithPolicy))},
	{"migrate", yes, "a policy session", startSession(nullHandle, nullHandle, nonce16, policyNull)},
	{"migrate", yes, "a policy for one command", command(tpm2.TPMCCPolicyCommandCode, []uint32{ownPolicy}, nil, uint32s(uint32(tpm2.TPMCCDuplicate)))},
	{"migrate", RCDenied, "create a key that anybody who has it can duplicate", create(public(movable))},
	{"migrate", RCDenied, "create a key that can leave halfway", create(public(func(p *tpm2.TPMTPublic) { withPolicy(p); p.ObjectAttributes.FixedTPM = false }))},
	{"migrate", RCDenied, "a trial session", startSession(nullHandle, nullHandle, nonce16, []byte{3, 0, 0x10, 0, 0x0b})},
	{"migrate", RCDenied, "export a key", command(tpm2.TPMCCDuplicate, []uint32{keyHandle, nullHandle}, password, empty, nullScheme)},
	{"migrate", RCDenied, "bring a key", importKey(public(movable))},
	{"migrate", RCDenied, "read a parent's public key", external(template(tpm2.RSASRKTemplate, same), nullHandle)},

	{"attest", yes, "certify one's own key", certify(keyHandle, 0x81010002, rsassa)},
	{"attest", yes, "read the attestation key", command(tpm2.TPMCCReadPublic, []uint32{0x81010002}, nil)},
	{"attest", RCDenied, "certify with one's own key", certify(keyHandle, keyHandle, rsassa)},
	{"attest", RCDenied, "certify the storage root key", certify(wire.SRK, 0x81010002, rsassa)},
	{"attest", RCDenied, "sign with the attestation key", sign(0x81010002, password, rsassa, ticket)},
	{"attest", yes, "create an attestation key", create(public(attestationKey(same)))},
	{"attest", yes, "load it", load(primaryHandle, public(attestationKey(same)))},
	{"attest", yes, "certify with it", certify(keyHandle, attesting, rsassa)},
	{"attest", yes, "certify with it how a key was made", certifyCreation(attesting, keyHandle)},
	{"attest", yes, "change its PIN", command(tpm2.TPMCCObjectChangeAuth, []uint32{attesting, primaryHandle}, password, sized([]byte("new")))},
	{"attest", RCDenied, "create one that can leave", create(public(attestationKey(movable)))},
	{"attest", RCDenied, "create one that only a policy uses", create(public(attestationKey(withPolicy)))},
	{"attest", RCDenied, "create one that signs as it is told", create(public(attestationKey(func(p *tpm2.TPMTPublic) { p.Parameters = signing(tpm2.TPMAlgNull, 0) })))},
	{"attest", RCDenied, "create one that signs with SHA-1", create(public(attestationKey(func(p *tpm2.TPMTPublic) { p.Parameters = signing(tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA1) })))},
	{"attest", RCDenied, "create a storage key", create(template(tpm2.RSASRKTemplate, same))},
	{"attest", RCDenied, "sign with one's own attestation key", sign(attesting, password, rsassa, ticket)},
	{"attest", RCDenied, "certify how a key was made with another key", certifyCreation(keyHandle, keyHandle)},
	{"attest", RCDenied, "certify an attestation key", certifyCreation(attesting, attesting)},
	{"attest", RCDenied, "quote with one's own", command(tpm2.TPMCCQuote, []uint32{attesting}, password, digest20, rsassa, onePCR)},
	{"attest", RCDenied, "quote", command(tpm2.TPMCCQuote, []uint32{0x81010002}, password, digest20, rsassa, onePCR)},

	{"orchestrate", yes, "read PCRs", command(tpm2.TPMCCPCRRead, nil, nil, onePCR)},
	{"orchestrate", yes, "extend a PCR", command(tpm2.TPMCCPCRExtend, []uint32{23}, password, []byte{0, 0, 0, 0})},
	{"orchestrate", yes, "quote", command(tpm2.TPMCCQuote, []uint32{0x81010002}, password, digest20, rsassa, onePCR)},
	{"orchestrate", RCDenied, "extend an NV index", command(tpm2.TPMCCPCRExtend, []uint32{0x01800001}, password, []byte{0, 0, 0, 0})},
	{"orchestrate", RCDenied, "reset a PCR", command(tpm2.TPMCCPCRReset, []uint32{23}, password)},

	{"use", yes, "load a key", load(primaryHandle, public(same))},
	{"use", yes, "sign", sign(keyHandle, password, rsassa, ticket)},
	{"use", RCDenied, "create a key", create(public(same))},
	{"use", RCDenied, "change a PIN", command(tpm2.TPMCCObjectChangeAuth, []uint32{keyHandle, wire.SRK}, password, sized([]byte("new")))},
}

func TestProfiles(t *testing.T) {
	for _, row := range profileRows {
		f, err := Named(row.profile)
		if err != nil {
			t.Fatal(err)
		}
		c, err := wire.Parse(row.command)
		if err != nil {
			t.Errorf("%s, %s: %v", row.profile, row.name, err)
			continue
		}
		if d := f.Check(&c, widely); d.Allowed != (row.want == yes) || d.RC != row.want {
			t.Errorf("%s, %s: %+v, want 0x%x", row.profile, row.name, d, uint32(row.want))
		}
		if d := Default().Check(&c, widely); d.Allowed && row.want == yes && row.profile != "use" && row.profile != "migrate" {
			t.Errorf("%s, %s: rsa lets it through already", row.profile, row.name)
		}
	}
}

// asRoot is the same caller, who is root.
type asRoot struct{ holding }

func (asRoot) Caller() uint32 { return 0 }

// Under migrate, root may move keys, and nobody else who was not named.
func TestWhoMoves(t *testing.T) {
	f, err := Named("migrate")
	if err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string][]byte{
		"export": command(tpm2.TPMCCDuplicate, []uint32{keyHandle, primaryHandle}, password, empty, nullScheme),
		"rewrap": command(tpm2.TPMCCRewrap, []uint32{primaryHandle, primaryHandle}, password, digest20, digest20, empty),
		"bring":  importKey(public(movableWithPolicy)),
		"parent": external(template(tpm2.RSASRKTemplate, same), nullHandle),
	} {
		c, err := wire.Parse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		if root, other := f.Check(&c, asRoot{widely}), f.Check(&c, widely); !root.Allowed || other.Allowed || other.Why != "caller is not root" {
			t.Errorf("%s: for root %+v, for others %+v", name, root, other)
		}
	}
}

// Under tss, root may keep a parent where the storage root key belongs, and do nothing else with what is kept in the chip.
func TestWhoKeepsParent(t *testing.T) {
	f, err := Named("tss")
	if err != nil {
		t.Fatal(err)
	}
	evict := func(hierarchy, object, to uint32) []byte {
		return command(tpm2.TPMCCEvictControl, []uint32{hierarchy, object}, password, uint32s(to))
	}
	for _, row := range []struct {
		name, why string // "": root may
		command   []byte
	}{
		{"keep a parent", "", evict(owner, primaryHandle, wire.SRK)},
		{"keep it elsewhere", "persistentHandle is not srk", evict(owner, primaryHandle, 0x81000002)},
		{"keep a key", "handle 2 is not own storage parent", evict(owner, keyHandle, wire.SRK)},
		{"take the storage root key away", "handle 2 is not own storage parent", evict(owner, wire.SRK, wire.SRK)},
		{"keep one of the platform's", "handle 1 is not owner", evict(uint32(tpm2.TPMRHPlatform), primaryHandle, wire.SRK)},
	} {
		c, err := wire.Parse(row.command)
		if err != nil {
			t.Fatal(err)
		}
		if d := f.Check(&c, asRoot{widely}); d.Allowed != (row.why == "") || d.Why != row.why && row.why != "" {
			t.Errorf("%s: %+v, want %q", row.name, d, row.why)
		}
		if d := f.Check(&c, widely); d.Allowed || d.Why != "caller is not root" {
			t.Errorf("%s, others: %+v", row.name, d)
		}
	}
}

// What is moved to no parent is a private key in clear, which is no move from one TPM to another.
func TestNothingMovesInClear(t *testing.T) {
	f, err := Named("migrate")
	if err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string][]byte{
		"export": command(tpm2.TPMCCDuplicate, []uint32{keyHandle, nullHandle}, password, empty, nullScheme),
		"rewrap": command(tpm2.TPMCCRewrap, []uint32{primaryHandle, nullHandle}, password, digest20, digest20, empty),
	} {
		c, err := wire.Parse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		if d := f.Check(&c, asRoot{widely}); d.Allowed || d.Why != "handle 2 is not own object" {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// sensitiveRSA is a TPM2B_SENSITIVE with a prime of zeros.
var sensitiveRSA = sized(append([]byte{0, 1, 0, 0, 0, 0}, sized(make([]byte, 128))...))
