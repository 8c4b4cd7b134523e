package filter

import (
	"bytes"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// What a clause can say. Numbers stand where a word has one: "0x81000042", "at most 64 bytes", "uid 1000".

// handleNumbers are the handles that have a name.
var handleNumbers = map[string]uint32{
	"owner":       uint32(tpm2.TPMRHOwner),
	"endorsement": uint32(tpm2.TPMRHEndorsement),
	"platform":    uint32(tpm2.TPMRHPlatform),
	"lockout":     uint32(tpm2.TPMRHLockout),
	"null":        uint32(tpm2.TPMRHNull),
	"srk":         wire.SRK,
}

// handleKinds admit every handle of a kind.
var handleKinds = map[string]tpm2.TPMHT{
	"a pcr":       tpm2.TPMHTPCR,
	"an nv index": tpm2.TPMHTNVIndex,
}

// handleWords look at what the caller holds under a transient handle.
var handleWords = map[string]func(Object) bool{
	"own object":         func(Object) bool { return true },
	"own key":            func(o Object) bool { return !o.Sequence },
	"own storage parent": Object.IsParent,
	"own hash sequence":  func(o Object) bool { return o.Sequence },
	"own sealed secret": func(o Object) bool {
		return o.Type == tpm2.TPMAlgKeyedHash && !o.Sequence && o.is(0, wire.Sign|wire.Decrypt)
	},

	"own rsa key that signs":              keyThat(tpm2.TPMAlgRSA, wire.Sign, wire.Restricted),
	"own rsa key that decrypts":           keyThat(tpm2.TPMAlgRSA, wire.Decrypt, wire.Restricted),
	"own rsa key":                         keyThat(tpm2.TPMAlgRSA, 0, wire.Restricted),
	"own rsa key without adminWithPolicy": keyThat(tpm2.TPMAlgRSA, 0, wire.Restricted|wire.AdminWithPolicy),
	"own ecc key that signs":              keyThat(tpm2.TPMAlgECC, wire.Sign, wire.Restricted),
	"own ecc key that agrees":             keyThat(tpm2.TPMAlgECC, wire.Decrypt, wire.Restricted),
	"own ecc key without adminWithPolicy": keyThat(tpm2.TPMAlgECC, 0, wire.Restricted|wire.AdminWithPolicy),
	"own attestation key":                 func(o Object) bool { return o.is(wire.Restricted|wire.Sign, wire.Decrypt) },
}

// is tells whether all of set are SET and all of clear are CLEAR.
func (o Object) is(set, clear uint32) bool { return o.Attributes&(set|clear) == set }

func keyThat(alg tpm2.TPMAlgID, set, clear uint32) func(Object) bool {
	return func(o Object) bool { return o.Type == alg && o.is(set, clear) }
}

// publicWords look into a public area. It comes by value: behind a pointer it would cost every check an allocation.
var publicWords = map[string]func(wire.Public) bool{
	"a standard storage parent":            func(p wire.Public) bool { return IsStorageTemplate(&p) },
	"a new rsa key that cannot leave":      func(p wire.Public) bool { return isNewRSA(&p) && cannotLeave(&p) && len(p.AuthPolicy) == 0 },
	"a new rsa key that can be duplicated": func(p wire.Public) bool { return isNewRSA(&p) && canBeDuplicated(&p) },
	"a new ecc key that cannot leave":      func(p wire.Public) bool { return isNewECC(&p) && cannotLeave(&p) && len(p.AuthPolicy) == 0 },
	"a new sealed secret":                  func(p wire.Public) bool { return isNewSecret(&p) },
	"an unrestricted rsa key":              func(p wire.Public) bool { return isUnrestricted(&p, tpm2.TPMAlgRSA) },
	"an unrestricted ecc key":              func(p wire.Public) bool { return isUnrestricted(&p, tpm2.TPMAlgECC) },
	"a new attestation key":                func(p wire.Public) bool { return isNewAttestationKey(&p) },
	"an attestation key":                   func(p wire.Public) bool { return isAttestationKey(&p) },
	"a sealed secret":                      func(p wire.Public) bool { return isSecret(&p) },
	"a sealed secret without a policy":     func(p wire.Public) bool { return isOwnersSecret(&p) },
	"an rsa key from outside": func(p wire.Public) bool {
		return isUnrestricted(&p, tpm2.TPMAlgRSA) && p.Has(wire.NoDA) && !p.HasAny(wire.FixedTPM|wire.FixedParent)
	},
}

// paramWords look at the bytes of one parameter, by its name in Part 3.
var paramWords = map[string]map[string]func(param []byte) bool{
	"inScheme": {
		"rsassa": alg(0, tpm2.TPMAlgRSASSA), "rsapss": alg(0, tpm2.TPMAlgRSAPSS), "rsaes": alg(0, tpm2.TPMAlgRSAES), "null": alg(0, tpm2.TPMAlgNull),
		"ecdsa": alg(0, tpm2.TPMAlgECDSA),
		"oaep": func(b []byte) bool {
			return algAt(b, 0) == tpm2.TPMAlgOAEP && (algAt(b, 2) == tpm2.TPMAlgSHA1 || isStrongHash(algAt(b, 2)))
		},
	},
	"validation":  {"a hashcheck ticket": alg(0, tpm2.TPMAlgID(tpm2.TPMSTHashCheck))},
	"label":       {"nul-terminated": func(b []byte) bool { return len(b) > 2 && b[len(b)-1] == 0 }},
	"sessionType": {"hmac": first(byte(tpm2.TPMSEHMAC)), "policy": first(byte(tpm2.TPMSEPolicy)), "trial": first(byte(tpm2.TPMSETrial))},
	"symmetric": {
		"null": alg(0, tpm2.TPMAlgNull), "xor": alg(0, tpm2.TPMAlgXOR),
		"aes-cfb": func(b []byte) bool { return algAt(b, 0) == tpm2.TPMAlgAES && algAt(b, 4) == tpm2.TPMAlgCFB },
	},
	"authHash": {
		"sha1": alg(0, tpm2.TPMAlgSHA1), "sha256": alg(0, tpm2.TPMAlgSHA256), "sha384": alg(0, tpm2.TPMAlgSHA384), "sha512": alg(0, tpm2.TPMAlgSHA512),
		"sha3-256": alg(0, tpm2.TPMAlgSHA3256), "sha3-384": alg(0, tpm2.TPMAlgSHA3384), "sha3-512": alg(0, tpm2.TPMAlgSHA3512),
	},
	"parameters": {"rsa": alg(0, tpm2.TPMAlgRSA), "ecc": alg(0, tpm2.TPMAlgECC), "keyedhash": alg(0, tpm2.TPMAlgKeyedHash), "symcipher": alg(0, tpm2.TPMAlgSymCipher)},
	"hierarchy": {
		"owner": is32(uint32(tpm2.TPMRHOwner)), "endorsement": is32(uint32(tpm2.TPMRHEndorsement)), "platform": is32(uint32(tpm2.TPMRHPlatform)),
		"null": is32(uint32(tpm2.TPMRHNull)),
	},
	"persistentHandle": {"srk": is32(wire.SRK)},
	"capability": {
		"algs": capability(tpm2.TPMCapAlgs), "handles": capability(tpm2.TPMCapHandles), "commands": capability(tpm2.TPMCapCommands),
		"pcrs": capability(tpm2.TPMCapPCRs), "tpm-properties": capability(tpm2.TPMCapTPMProperties), "pcr-properties": capability(tpm2.TPMCapPCRProperties),
		"ecc-curves": capability(tpm2.TPMCapECCCurves), "auth-policies": capability(tpm2.TPMCapAuthPolicies),
	},
}

// authorizationWords look at the authorization area.
var authorizationWords = map[string]func(*wire.Command) bool{
	"none":       func(c *wire.Command) bool { return len(c.Auths()) == 0 },
	"a password": func(c *wire.Command) bool { return len(c.Auths()) == 1 && c.Auths()[0].Session == wire.RSPassword },
}

func alg(offset int, want tpm2.TPMAlgID) func([]byte) bool {
	return func(b []byte) bool { return algAt(b, offset) == want }
}

func first(want byte) func([]byte) bool {
	return func(b []byte) bool { return len(b) > 0 && b[0] == want }
}

func capability(want tpm2.TPMCap) func([]byte) bool { return is32(uint32(want)) }

func is32(want uint32) func([]byte) bool {
	return func(b []byte) bool {
		cursor := wire.NewCursor(b)
		return cursor.Uint32() == want && cursor.Done()
	}
}

// algAt reads an algorithm; bytes that are not there are no algorithm at all.
func algAt(b []byte, offset int) tpm2.TPMAlgID {
	if len(b) < offset+2 {
		return 0
	}
	return tpm2.TPMAlgID(b[offset])<<8 | tpm2.TPMAlgID(b[offset+1])
}

// What can be counted of a parameter, by its name in Part 3: the bytes in a TPM2B, the entries of a list, a number. A word that counts something else would
// hold always, or never.
var (
	sizedParams = set("outsideInfo", "newAuth", "inPrivate", "cipherText", "label", "digest", "nonceCaller", "encryptedSalt", "data", "buffer", "auth", "qualifyingData",
		"creationHash", "inPoint", "encryptionKey", "encryptionKeyIn", "duplicate", "inDuplicate", "inSymSeed", "name", "objectName", "newParentName")
	listParams   = set("creationPCR", "PCRselect", "pcrSelectionIn", "digests", "pHashList")
	numberParams = set("bytesRequested", "propertyCount")
)

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// numberWord reads a word that counts what the subject has: a form with numbers in it, and what it means.
func numberWord(subject, text string) func(query) bool {
	var n, m int
	sized := sizedParams[subject]
	switch {
	case sized && scans(text, "at most %d bytes", &n):
		return func(q query) bool { return len(q.param) >= 2 && len(q.param)-2 <= n }
	case sized && scans(text, "%d to %d bytes", &n, &m) && n <= m:
		return func(q query) bool { return len(q.param)-2 >= n && len(q.param)-2 <= m }
	case numberParams[subject] && scans(text, "at most %d", &n):
		return func(q query) bool { return len(q.param) > 0 && numberOf(q.param) <= uint64(n) }
	case (sized || listParams[subject]) && text == "empty":
		return func(q query) bool { return len(q.param) > 0 && len(bytes.TrimLeft(q.param, "\x00")) == 0 }
	}
	return nil
}

// numberForms are the words that a subject can be counted with, for an error.
func numberForms(subject string) []string {
	switch {
	case sizedParams[subject]:
		return []string{"empty", "at most N bytes", "N to M bytes"}
	case listParams[subject]:
		return []string{"empty"}
	case numberParams[subject]:
		return []string{"at most N"}
	}
	return nil
}

// numberOf reads a number of two or four bytes.
func numberOf(param []byte) (n uint64) {
	for _, b := range param {
		n = n<<8 | uint64(b)
	}
	return n
}

// scans tells whether text has a form exactly, and reads the numbers in it, which are not negative.
func scans(text, form string, numbers ...*int) bool {
	into, values := make([]any, len(numbers)), make([]any, len(numbers))
	for i, n := range numbers {
		into[i] = n
	}
	if _, err := fmt.Sscanf(text, form, into...); err != nil {
		return false
	}
	for i, n := range numbers {
		if values[i] = *n; *n < 0 {
			return false
		}
	}
	return fmt.Sprintf(form, values...) == text
}
