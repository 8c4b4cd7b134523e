package rm_test

import (
	"crypto/sha1"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm/wire"
)

// A vault seals data under a storage key, as the kernel's selftests do: names and policies in SHA-1, and failures that the chip counts.
type vault struct {
	tpm  transport.TPM
	root tpm2.NamedHandle
}

func newVault(t testing.TB, tpm transport.TPM) vault {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(shaOneRoot())}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return vault{tpm, tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}}
}

// seal makes a data object that a password opens, or, where there is one, a policy.
func (v vault) seal(data, auth string, policy []byte) (*tpm2.CreateResponse, error) {
	return tpm2.Create{
		ParentHandle: v.root,
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			UserAuth: tpm2.TPM2BAuth{Buffer: []byte(auth)},
			Data:     tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: []byte(data)})}},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{
			Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA1,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: policy == nil},
			AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy}})}.Execute(v.tpm)
}

// unseal loads a data object, opens it with a password and flushes it. The password comes alone (TPM_RS_PW) or in a policy session, for which go-tpm has no
// form; a session is over when the object was opened.
func (v vault) unseal(t testing.TB, blob *tpm2.CreateResponse, authSession tpm2.TPMHandle, auth string) (string, error) {
	t.Helper()
	loaded, err := tpm2.Load{ParentHandle: v.root, InPrivate: blob.OutPrivate, InPublic: blob.OutPublic}.Execute(v.tpm)
	if err != nil {
		t.Fatal(err)
	}
	defer flush(t, v.tpm, loaded.ObjectHandle)
	m := wire.NewMessage(tpm2.TPMSTSessions, uint32(tpm2.TPMCCUnseal)).Uint32(uint32(loaded.ObjectHandle)).Uint32(uint32(4 + 2 + 1 + 2 + len(auth)))
	m.Uint32(uint32(authSession)).Uint16(0).Uint8(0).Uint16(uint16(len(auth))).Raw([]byte(auth))
	parameters, err := ask(v.tpm, m)
	if err != nil {
		return "", err
	}
	cursor := wire.NewCursor(parameters[4:])
	return string(cursor.Sized()), nil
}

// ask sends a command that go-tpm does not know in this form, and gives what follows the header of the response.
func ask(tpm transport.TPM, command *wire.Message) ([]byte, error) {
	response, err := tpm.Send(command.Bytes())
	if err != nil {
		return nil, err
	}
	if h, _ := wire.ParseHeader(response); h.Code != 0 {
		return nil, tpm2.TPMRC(h.Code)
	}
	return response[wire.HeaderSize:], nil
}

const sealedPCR = 16 // the one for debugging, which everybody may extend

// bank is a hash in which a chip has PCRs.
func bank(t testing.TB, tpm transport.TPM) tpm2.TPMAlgID {
	t.Helper()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	banks, err := r.CapabilityData.Data.AssignedPCR()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range banks.PCRSelections {
		if len(b.PCRSelect) > 2 && b.PCRSelect[0]&(1<<1) != 0 && b.PCRSelect[2]&1 != 0 {
			return b.Hash
		}
	}
	t.Fatalf("no PCRs 1 and 16 in %+v", banks)
	return 0
}

// policy is a session that demands the present value of the PCR, and a password.
func (v vault) policy(t testing.TB, options ...tpm2.AuthOption) tpm2.TPMHandle {
	t.Helper()
	p, _, err := tpm2.PolicySession(v.tpm, tpm2.TPMAlgSHA1, 16, options...)
	if err != nil {
		t.Fatal(err)
	}
	pcrs := tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: bank(t, v.tpm), PCRSelect: tpm2.PCClientCompatible.PCRs(sealedPCR)}}}
	read, err := tpm2.PCRRead{PCRSelectionIn: pcrs}.Execute(v.tpm)
	if err != nil || len(read.PCRValues.Digests) != 1 {
		t.Fatalf("%+v, %v", read, err)
	}
	digest := sha1.Sum(read.PCRValues.Digests[0].Buffer)
	if _, err := (tpm2.PolicyPCR{PolicySession: p.Handle(), PcrDigest: tpm2.TPM2BDigest{Buffer: digest[:]}, Pcrs: pcrs}).Execute(v.tpm); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(v.tpm, wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCPolicyPassword)).Uint32(uint32(p.Handle()))); err != nil {
		t.Fatal(err)
	}
	return p.Handle()
}

// policyDigest is what a trial of the policy gives.
func (v vault) policyDigest(t testing.TB) []byte {
	t.Helper()
	trial := v.policy(t, tpm2.Trial())
	defer flush(t, v.tpm, trial)
	r, err := tpm2.PolicyGetDigest{PolicySession: trial}.Execute(v.tpm)
	if err != nil {
		t.Fatal(err)
	}
	return r.PolicyDigest.Buffer
}

func (v vault) extend(t testing.TB, pcr tpm2.TPMHandle) {
	t.Helper()
	alg := bank(t, v.tpm)
	hash, err := alg.Hash()
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: pcr, Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: alg, Digest: make([]byte, hash.Size())}}}}.Execute(v.tpm)
	if err != nil {
		t.Fatal(err)
	}
}
