package wire_test

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// Good commands: of each whose parameters are read here, at least one that a raw chip takes apart to its last byte.

// A workshop is a raw chip with keys in it. What lasts is persistent, so that the slots are free.
type workshop struct {
	*cast
	agreeing uint32 // a persistent key for ECDH
	rsa      uint32 // likewise for RSA
	child    uint32 // a transient key below the storage root key, which can be duplicated
	made     *tpm2.CreateResponse
	spare    []byte // the child's saved context
	moved    []byte // the child as TPM2_Duplicate gives it, in clear
	point    []byte // on the curve of agreeing
	cipher   []byte // for rsa
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{cast: &cast{tpm: tpmtest.Dial(t, tpmtest.SWTPM(t))}}
	tpmtest.PersistSRK(t, w.tpm)
	w.rsa, w.key, w.agreeing = w.persist(t, 0x81000002, rsaTemplate()), w.persist(t, 0x81000003, signingTemplate()), w.persist(t, 0x81000004, agreeingTemplate())
	w.policy, w.hmac = w.session(t, tpm2.TPMSEPolicy), w.session(t, tpm2.TPMSEHMAC)
	w.makeChild(t)
	w.spare = w.parameters(t, write(tpm2.TPMCCContextSave, []uint32{w.child}, nil))
	w.child = firstTransient
	w.restock()
	w.permitDuplicate()
	duplicated := wire.NewCursor(w.parameters(t, write(tpm2.TPMCCDuplicate, []uint32{w.child, nowhere}, []session{{w.policy, wire.ContinueSession}}, none, null))[4:])
	duplicated.Sized() // the key that it is not encrypted with
	w.moved = sized(duplicated.Sized())
	points := wire.NewCursor(w.parameters(t, write(tpm2.TPMCCECDHKeyGen, []uint32{w.agreeing}, nil)))
	w.point = sized(points.Sized())
	w.cipher = w.parameters(t, write(tpm2.TPMCCRSAEncrypt, []uint32{w.rsa}, nil, sized([]byte("message")), oaep, aLabel))
	return w
}

// parameters runs a command that must succeed and has no handle in its response, and gives what follows the header.
func (w *workshop) parameters(t *testing.T, command []byte) []byte {
	t.Helper()
	response := w.send(command)
	if h, ok := wire.ParseHeader(response); !ok || h.Code != 0 {
		t.Fatalf("%x: %x", command, response)
	}
	return response[wire.HeaderSize:]
}

// restock has the child on the chip, and no other transient object.
func (w *workshop) restock() {
	for i := range uint32(3) {
		w.flush(firstTransient + i)
	}
	w.send(write(tpm2.TPMCCContextLoad, nil, nil, w.spare))
}

func rsaTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true, Decrypt: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048}),
		Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{}),
	}
}

func agreeingTemplate() tpm2.TPMTPublic {
	p := signingTemplate()
	p.ObjectAttributes.SignEncrypt, p.ObjectAttributes.Decrypt = false, true
	return p
}

// childTemplate is of a key that TPM2_Duplicate moves.
func childTemplate() tpm2.TPMTPublic {
	p := signingTemplate()
	p.ObjectAttributes.FixedTPM, p.ObjectAttributes.FixedParent = false, false
	p.AuthPolicy.Buffer = duplicatePolicy
	return p
}

// duplicatePolicy is TPM2_PolicyCommandCode(TPM_CC_Duplicate) (Part 3, 23.11).
var duplicatePolicy = []byte{
	0xbe, 0xf5, 0x6b, 0x8c, 0x1c, 0xc8, 0x4e, 0x11, 0xed, 0xd7, 0x17, 0x52, 0x8d, 0x2c, 0xd9, 0x93,
	0x56, 0xbd, 0x2b, 0xbf, 0x8f, 0x01, 0x52, 0x09, 0xc3, 0xf8, 0x4a, 0xee, 0xab, 0xa8, 0xe8, 0xa2,
}

// restartSession replaces the session that encrypts, which a success may have ended. A free handle is given out again.
func (w *workshop) restartSession() {
	w.flush(w.hmac)
	w.send(write(tpm2.TPMCCStartAuthSession, []uint32{nowhere, nowhere}, nil, nonce16, none, []byte{0, 0, 6, 0, 128, 0, 0x43, 0, 0x0b}))
}

// restartDuplicate replaces the policy session.
func (w *workshop) restartDuplicate() {
	w.flush(w.policy)
	w.send(write(tpm2.TPMCCStartAuthSession, []uint32{nowhere, nowhere}, nil, nonce16, none, []byte{1, 0, 6, 0, 128, 0, 0x43, 0, 0x0b}))
	w.permitDuplicate()
}

func (w *workshop) restartPolicy() { w.send(write(tpm2.TPMCCPolicyRestart, []uint32{w.policy}, nil)) }

func (w *workshop) permitDuplicate() {
	w.restartPolicy()
	w.send(write(tpm2.TPMCCPolicyCommandCode, []uint32{w.policy}, nil, words(uint32(tpm2.TPMCCDuplicate))))
}

func (w *workshop) persist(t *testing.T, at uint32, template tpm2.TPMTPublic) uint32 {
	t.Helper()
	handle := w.primary(t, template)
	if response := w.send(evict(handle, at)); len(response) != 10+4+5 {
		t.Fatalf("keep a key at 0x%x: %x", at, response)
	}
	w.flush(handle)
	return at
}

func (w *workshop) makeChild(t *testing.T) {
	t.Helper()
	parent := tpm2.NamedHandle{Handle: tpmtest.SRKHandle}
	var err error
	if w.made, err = (tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(childTemplate())}).Execute(w.tpm); err != nil {
		t.Fatal(err)
	}
	r, err := tpm2.Load{ParentHandle: parent, InPrivate: w.made.OutPrivate, InPublic: w.made.OutPublic}.Execute(w.tpm)
	if err != nil {
		t.Fatal(err)
	}
	w.child = uint32(r.ObjectHandle)
}

func (w *workshop) send(command []byte) []byte {
	response, _ := w.tpm.Send(command)
	return response
}

func (w *workshop) flush(handle uint32) {
	w.send(write(tpm2.TPMCCFlushContext, nil, nil, words(handle)))
}

// The writing of commands, part after part.
var password = []session{{wire.RSPassword, 0}}

func write(code tpm2.TPMCC, handles []uint32, sessions []session, params ...[]byte) []byte {
	tag := tpm2.TPMSTNoSessions
	if sessions != nil {
		tag = tpm2.TPMSTSessions
	}
	m := wire.NewMessage(tag, uint32(code)).Raw(words(handles...))
	if sessions != nil {
		m.Uint32(uint32(9 * len(sessions)))
	}
	for _, a := range sessions {
		m.Uint32(a.handle).Uint16(0).Uint8(a.attributes).Uint16(0)
	}
	return m.Raw(bytes.Join(params, nil)).Bytes()
}

func words(values ...uint32) []byte {
	m := wire.NewMessage(0, 0)
	for _, v := range values {
		m.Uint32(v)
	}
	return m.Bytes()[wire.HeaderSize:]
}

func sized(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func evict(handle, at uint32) []byte {
	return write(tpm2.TPMCCEvictControl, []uint32{uint32(tpm2.TPMRHOwner), handle}, password, words(at))
}
