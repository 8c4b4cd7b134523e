package wire_test

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A good command, what it needs to be put right before it and after a success, and what a chip says that has taken it apart.
type good struct {
	name    string
	command []byte
	after   func(w *workshop)
	rc      tpm2.TPMRC
}

var (
	none           = []byte{0, 0}
	emptySensitive = []byte{0, 4, 0, 0, 0, 0}
	noPCR          = []byte{0, 0, 0, 0}
	onePCR         = []byte{0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 0}
	rsassa         = []byte{0, 0x14, 0, 0x0b}
	ecdsa          = []byte{0, 0x18, 0, 0x0b}
	oaep           = []byte{0, 0x17, 0, 0x0b}
	aLabel         = sized([]byte("a label\x00"))
	null           = []byte{0, 0x10}
	noTicket       = []byte{0x80, 0x24, 0x40, 0, 0, 7, 0, 0}
	hash32         = sized(bytes.Repeat([]byte{7}, 32))
	nonce16        = sized(make([]byte, 16))
)

const (
	owner   = uint32(tpm2.TPMRHOwner)
	nowhere = uint32(tpm2.TPMRHNull)

	firstTransient = uint32(0x80000000) // the handle that an empty chip gives first
	firstNew       = firstTransient + 1 // and then
)

func public(template tpm2.TPMTPublic) []byte { return sized(tpm2.Marshal(template)) }

// defaults are commands of the default profile, those that reach the chip and those that the manager answers.
func (w *workshop) defaults() []good {
	decrypting := []session{{w.hmac, wire.ContinueSession | wire.SessionDecrypt}}
	private, inPublic := sized(w.made.OutPrivate.Buffer), tpm2.Marshal(w.made.OutPublic)
	return []good{
		{"CreatePrimary", write(tpm2.TPMCCCreatePrimary, []uint32{owner}, password, emptySensitive, public(tpmtest.SRKTemplate()), none, noPCR), nil, 0},
		{"CreatePrimary with a PIN and a PCR", write(tpm2.TPMCCCreatePrimary, []uint32{owner}, password, []byte{0, 7, 0, 3, 'p', 'i', 'n', 0, 0}, public(signingTemplate()), sized([]byte("x")), onePCR), nil, 0},
		{"Create", write(tpm2.TPMCCCreate, []uint32{wire.SRK}, password, emptySensitive, public(signingTemplate()), none, noPCR), nil, 0},
		{"Load", write(tpm2.TPMCCLoad, []uint32{wire.SRK}, password, private, inPublic), nil, 0},
		{"ObjectChangeAuth with a session that decrypts", write(tpm2.TPMCCObjectChangeAuth, []uint32{w.child, wire.SRK}, decrypting, sized([]byte("new"))), (*workshop).restartSession, 0},
		{"ObjectChangeAuth", write(tpm2.TPMCCObjectChangeAuth, []uint32{w.child, wire.SRK}, password, sized([]byte("new"))), nil, 0},
		{"Sign", write(tpm2.TPMCCSign, []uint32{w.rsa}, password, hash32, rsassa, noTicket), nil, 0},
		{"Sign with a session that decrypts", write(tpm2.TPMCCSign, []uint32{w.rsa}, decrypting, hash32, rsassa, noTicket), (*workshop).restartSession, 0},
		{"RSA_Decrypt", write(tpm2.TPMCCRSADecrypt, []uint32{w.rsa}, password, w.cipher, null, none), nil, 0},
		{"RSA_Decrypt with a label", write(tpm2.TPMCCRSADecrypt, []uint32{w.rsa}, password, w.cipher, oaep, aLabel), nil, 0},
		{"RSA_Encrypt", write(tpm2.TPMCCRSAEncrypt, []uint32{w.rsa}, nil, sized([]byte("message")), oaep, aLabel), nil, 0},
		{"ReadPublic", write(tpm2.TPMCCReadPublic, []uint32{w.key}, nil), nil, 0},
		{"StartAuthSession", write(tpm2.TPMCCStartAuthSession, []uint32{nowhere, nowhere}, nil, nonce16, none, []byte{0, 0, 6, 0, 128, 0, 0x43, 0, 0x0b}), (*workshop).endSession, 0},
		{"StartAuthSession that obfuscates", write(tpm2.TPMCCStartAuthSession, []uint32{nowhere, nowhere}, nil, nonce16, none, []byte{0, 0, 0x0a, 0, 0x0b, 0, 0x0b}), (*workshop).endSession, 0},
		{"StartAuthSession, plain", write(tpm2.TPMCCStartAuthSession, []uint32{nowhere, nowhere}, nil, nonce16, none, []byte{3, 0, 0x10, 0, 0x0b}), (*workshop).endSession, 0},
		{"FlushContext", write(tpm2.TPMCCFlushContext, nil, nil, words(w.child)), nil, 0},
		{"GetCapability", write(tpm2.TPMCCGetCapability, nil, nil, words(uint32(tpm2.TPMCapCommands), 0, 4)), nil, 0},
		{"GetRandom", write(tpm2.TPMCCGetRandom, nil, nil, []byte{0, 8}), nil, 0},
		{"TestParms of RSA", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 1, 0, 0x10, 0, 0x10, 8, 0, 0, 0, 0, 0}), nil, 0},
		{"TestParms of an RSA parent", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 1, 0, 6, 0, 128, 0, 0x43, 0, 0x14, 0, 0x0b, 8, 0, 0, 1, 0, 1}), nil, 0},
		{"TestParms of ECC", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 0x23, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10}), nil, 0},
		{"TestParms of ECDAA", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 0x23, 0, 0x10, 0, 0x1a, 0, 0x0b, 0, 1, 0, 0x10, 0, 0x10}), nil, 0},
		{"TestParms of HMAC", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 8, 0, 5, 0, 0x0b}), nil, 0},
		{"TestParms of XOR", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 8, 0, 0x0a, 0, 0x0b, 0, 0x22}), nil, 0},
		{"TestParms of AES", write(tpm2.TPMCCTestParms, nil, nil, []byte{0, 0x25, 0, 6, 0, 128, 0, 0x43}), nil, 0},

		{"Hash", write(tpm2.TPMCCHash, nil, nil, sized([]byte("data")), []byte{0, 0x0b}, words(nowhere)), nil, 0},
		{"HashSequenceStart", write(tpm2.TPMCCHashSequenceStart, nil, nil, sized([]byte("pin")), []byte{0, 0x0b}), nil, 0},
		{"SequenceUpdate", write(tpm2.TPMCCSequenceUpdate, []uint32{firstNew}, password, sized([]byte("data"))), (*workshop).restartSequence, 0},
		{"SequenceComplete", write(tpm2.TPMCCSequenceComplete, []uint32{firstNew}, password, sized([]byte("data")), words(nowhere)), (*workshop).restartSequence, 0},
		{"ContextSave", write(tpm2.TPMCCContextSave, []uint32{w.child}, nil), nil, 0},
		{"ContextLoad", write(tpm2.TPMCCContextLoad, nil, nil, w.spare), nil, 0},
	}
}

// A keyed hash object's unique is the hash of its seed and its key (Part 1, 27.5.3.2).
var (
	externalSeed, externalKey = bytes.Repeat([]byte{1}, 32), []byte("key")
	externalUnique            = sha256.Sum256(slices.Concat(externalSeed, externalKey))
)

// others are commands that wider profiles look into.
func (w *workshop) others() []good {
	made := w.made
	duplicating := []session{{w.policy, wire.ContinueSession}}
	p := []uint32{w.policy}
	seal := tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{}), Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{})}
	mac := seal
	mac.ObjectAttributes = tpm2.TPMAObject{UserWithAuth: true, SignEncrypt: true}
	mac.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{Scheme: tpm2.TPMTKeyedHashScheme{Scheme: tpm2.TPMAlgHMAC,
		Details: tpm2.NewTPMUSchemeKeyedHash(tpm2.TPMAlgHMAC, &tpm2.TPMSSchemeHMAC{HashAlg: tpm2.TPMAlgSHA256})}})
	mac.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgKeyedHash, &tpm2.TPM2BDigest{Buffer: externalUnique[:]})
	external := sized(slices.Concat([]byte{0, 8}, none, sized(externalSeed), sized(externalKey)))
	sealing := []byte{0, 8, 0, 0, 0, 4, 'd', 'a', 't', 'a'}
	return []good{
		{"CreatePrimary of sealed data", write(tpm2.TPMCCCreatePrimary, []uint32{owner}, password, sealing, public(seal), none, noPCR), nil, 0},
		{"EvictControl", evict(w.child, 0x81000010), nil, 0},
		{"Certify", write(tpm2.TPMCCCertify, []uint32{w.key, w.key}, append(password, password...), sized([]byte("x")), ecdsa), nil, 0},
		{"CertifyCreation", write(tpm2.TPMCCCertifyCreation, []uint32{w.key, w.child}, password, sized([]byte("x")), sized(made.CreationHash.Buffer), ecdsa, tpm2.Marshal(made.CreationTicket)), nil, 0},
		{"Duplicate", write(tpm2.TPMCCDuplicate, []uint32{w.child, nowhere}, duplicating, none, null), (*workshop).restartDuplicate, 0},
		{"Rewrap", write(tpm2.TPMCCRewrap, []uint32{nowhere, wire.SRK}, password, w.moved, sized(make([]byte, 34)), none), nil, 0},
		{"ECDH_ZGen", write(tpm2.TPMCCECDHZGen, []uint32{w.agreeing}, password, w.point), nil, 0},
		{"ECDH_KeyGen", write(tpm2.TPMCCECDHKeyGen, []uint32{w.agreeing}, nil), nil, 0},
		{"Import", write(tpm2.TPMCCImport, []uint32{wire.SRK}, password, none, tpm2.Marshal(made.OutPublic), w.moved, none, null), nil, 0},
		{"LoadExternal", write(tpm2.TPMCCLoadExternal, nil, nil, none, tpm2.Marshal(made.OutPublic), words(nowhere)), nil, 0},
		{"LoadExternal of an HMAC key", write(tpm2.TPMCCLoadExternal, nil, nil, external, public(mac), words(nowhere)), nil, 0},
		{"Quote", write(tpm2.TPMCCQuote, []uint32{w.key}, password, sized([]byte("x")), ecdsa, onePCR), nil, 0},
		{"Unseal", write(tpm2.TPMCCUnseal, []uint32{w.key}, password), nil, tpm2.TPMRCType | 0x100}, // no sealed data, which comes after the parameters, of which there are none
		{"PolicyAuthValue", write(tpm2.TPMCCPolicyAuthValue, p, nil), nil, 0},
		{"PolicyPassword", write(tpm2.TPMCCPolicyPassword, p, nil), nil, 0},
		{"PolicyRestart", write(tpm2.TPMCCPolicyRestart, p, nil), nil, 0},
		{"PolicyGetDigest", write(tpm2.TPMCCPolicyGetDigest, p, nil), nil, 0},
		{"PolicyCommandCode", write(tpm2.TPMCCPolicyCommandCode, p, nil, words(uint32(tpm2.TPMCCSign))), (*workshop).restartPolicy, 0},
		{"PolicyOR", write(tpm2.TPMCCPolicyOR, p, nil, words(2), hash32, sized(duplicatePolicy)), (*workshop).permitDuplicate, 0},
		{"PolicyDuplicationSelect", write(tpm2.TPMCCPolicyDuplicationSelect, p, nil, none, sized(make([]byte, 34)), []byte{1}), (*workshop).restartPolicy, 0},
		{"PCR_Read", write(tpm2.TPMCCPCRRead, nil, nil, onePCR), nil, 0},
		{"PCR_Extend", write(tpm2.TPMCCPCRExtend, []uint32{castPCR}, password, words(2), []byte{0, 0x0b}, make([]byte, 32), []byte{0, 4}, make([]byte, 20)), nil, 0},
		{"CreateLoaded", write(tpm2.TPMCCCreateLoaded, []uint32{wire.SRK}, password, emptySensitive, public(signingTemplate())), nil, 0},
	}
}

// endSession ends a third session, of whatever kind.
func (w *workshop) endSession() {
	w.flush(uint32(tpm2.TPMHTHMACSession)<<24 + 2)
	w.flush(uint32(tpm2.TPMHTPolicySession)<<24 + 2)
}

// restartSequence puts a hash sequence at firstNew again.
func (w *workshop) restartSequence() {
	w.flush(firstNew)
	w.send(write(tpm2.TPMCCHashSequenceStart, nil, nil, none, []byte{0, 0x0b}))
}
