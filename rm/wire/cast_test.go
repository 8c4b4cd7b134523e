package wire_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A cast is one handle of every kind that a command can name, on a raw chip, all with empty authorizations.
type cast struct {
	tpm                                 tpmtest.Sender
	parent, key, sequence, policy, hmac uint32
}

const (
	castNV         uint32 = 0x01800001
	castPersistent        = wire.SRK
	castPCR        uint32 = 16
	castAC         uint32 = 0x90000000
)

// newCast takes the three slots of a chip, and two of its three sessions.
func newCast(t *testing.T, spec string) *cast {
	t.Helper()
	c := &cast{tpm: tpmtest.Dial(t, spec)}
	tpmtest.PersistSRK(t, c.tpm)
	c.parent = c.primary(t, tpmtest.SRKTemplate())
	c.key = c.primary(t, signingTemplate())
	sequence, err := tpm2.HashSequenceStart{HashAlg: tpm2.TPMAlgSHA256}.Execute(c.tpm)
	if err != nil {
		t.Fatal(err)
	}
	c.sequence = uint32(sequence.SequenceHandle)
	c.defineNV(t)
	c.policy, c.hmac = c.session(t, tpm2.TPMSETrial), c.session(t, tpm2.TPMSEHMAC)
	return c
}

// signingTemplate is that of an ECC key, which takes a chip little time.
func signingTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
		Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
	}
}

func (c *cast) primary(t *testing.T, template tpm2.TPMTPublic) uint32 {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(c.tpm)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(r.ObjectHandle)
}

func (c *cast) defineNV(t *testing.T) {
	t.Helper()
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm2.TPMHandle(castNV), NameAlg: tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true}, DataSize: 8})}.Execute(c.tpm)
	if err != nil {
		t.Fatal(err)
	}
}

// session starts one that encrypts, neither salted nor bound: as long as what it authorizes has no auth value, it needs no HMAC (Part 1, 19.6.5).
func (c *cast) session(t *testing.T, kind tpm2.TPMSE) uint32 {
	t.Helper()
	r, err := tpm2.StartAuthSession{TPMKey: tpm2.TPMRHNull, Bind: tpm2.TPMRHNull, SessionType: kind, NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)},
		Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgAES, KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(128)),
			Mode: tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)}, AuthHash: tpm2.TPMAlgSHA256}.Execute(c.tpm)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(r.SessionHandle)
}

// handles are candidates for a place in a handle area, the least harmful first.
func (c *cast) handles() []uint32 {
	return []uint32{uint32(tpm2.TPMRHNull), c.key, c.parent, c.sequence, c.policy, c.hmac, castPersistent, castNV, castPCR, castAC,
		uint32(tpm2.TPMRHOwner), uint32(tpm2.TPMRHPlatform), uint32(tpm2.TPMRHEndorsement), uint32(tpm2.TPMRHLockout)}
}
