package wire

import "github.com/google/go-tpm/tpm2"

// A param is one parameter of a command: its name in Part 3, the reading of its form, and how many bytes a TPM2B can have at most, which is all that can be
// known of an encrypted one.
type param struct {
	name string
	read func(*Cursor)
	most int
}

// atMost is a parameter that is a TPM2B with nothing in it to be read.
func atMost(name string, most int) param { return param{name, sizedAtMost(most), most} }

// Limits of sized parameters, in bytes.
const (
	maxDigest     = 64   // SHA-512
	maxSensitive  = 256  // user auth and data of a key: far less than this
	maxRSA        = 512  // RSA 4096
	maxPrivate    = 2048 // a wrapped RSA 4096 key with its seed
	maxBuffer     = 1024 // MAX_DIGEST_BUFFER
	maxData       = 66   // TPM2B_DATA holds a TPMT_HA at most
	maxName       = 68   // TPM2B_NAME holds a TPMU_NAME
	maxTemplate   = 1024 // TPM2B_TEMPLATE: a TPMT_PUBLIC and what may take the place of its unique field
	maxCoordinate = 128  // of a point: MAX_ECC_KEY_BYTES is 66 where there is P-521
)

// The parameters of the commands that a profile may let through after a look inside, each under its name in Part 3.
var (
	sensitiveCreate = param{"inSensitive", readSensitiveCreate, 2 + maxDigest + 2 + maxSensitive}
	public          = param{name: "inPublic", read: readSizedPublic}
	dataBuffer      = atMost("outsideInfo", maxData)
	pcrSelections   = param{name: "creationPCR", read: readPCRSelections}
	authValue       = atMost("newAuth", maxDigest)
	privateBlob     = atMost("inPrivate", maxPrivate)
	rsaText         = atMost("cipherText", maxRSA)
	decryptScheme   = param{name: "inScheme", read: readRSADecryptScheme}
	label           = atMost("label", maxData)
	digest          = atMost("digest", maxDigest)
	signScheme      = param{name: "inScheme", read: readSigScheme}
	hashcheckTicket = param{name: "validation", read: readTicket}
	flushHandle     = param{name: "flushHandle", read: uint32s(1)}
	nonce           = atMost("nonceCaller", maxNonce)
	encryptedSalt   = atMost("encryptedSalt", maxRSA)
	sessionType     = param{name: "sessionType", read: func(c *Cursor) { c.Uint8() }}
	symmetric       = param{name: "symmetric", read: readSymDef}
	authHash        = param{name: "authHash", read: func(c *Cursor) { c.Uint16() }}
	capability      = param{name: "capability", read: uint32s(1)}
	property        = param{name: "property", read: uint32s(1)}
	propertyCount   = param{name: "propertyCount", read: uint32s(1)}
	bytesRequested  = param{name: "bytesRequested", read: func(c *Cursor) { c.Uint16() }}
	publicParms     = param{name: "parameters", read: readPublicParms}
	hashData        = atMost("data", maxBuffer)
	buffer          = atMost("buffer", maxBuffer)
	hashAlg         = param{name: "hashAlg", read: func(c *Cursor) { c.Uint16() }}
	hierarchy       = param{name: "hierarchy", read: uint32s(1)}
	sequenceAuth    = atMost("auth", maxDigest)
	savedContext    = param{name: "context", read: readContext}

	persistentHandle = param{name: "persistentHandle", read: uint32s(1)}
	template         = atMost("inPublic", maxTemplate)
	qualifyingData   = atMost("qualifyingData", maxData)
	creationHash     = atMost("creationHash", maxDigest)
	creationTicket   = param{name: "creationTicket", read: readTicket}
	pcrSelect        = param{name: "PCRselect", read: readPCRSelections}
	pcrSelectionIn   = param{name: "pcrSelectionIn", read: readPCRSelections}
	digestValues     = param{name: "digests", read: readDigestValues}
	inPoint          = param{"inPoint", readSizedPoint, 2 * (2 + maxCoordinate)}
	encryptionKey    = atMost("encryptionKey", maxData)
	encryptionKeyIn  = atMost("encryptionKeyIn", maxData)
	objectPublic     = param{name: "objectPublic", read: readSizedPublic}
	duplicate        = atMost("duplicate", maxPrivate)
	inDuplicate      = atMost("inDuplicate", maxPrivate)
	inSymSeed        = atMost("inSymSeed", maxRSA)
	symmetricAlg     = param{name: "symmetricAlg", read: readSymDefObject}
	name             = atMost("name", maxName)
	objectName       = atMost("objectName", maxName)
	newParentName    = atMost("newParentName", maxName)
	includeObject    = param{name: "includeObject", read: func(c *Cursor) { c.Uint8() }}
	sensitive        = param{"inPrivate", readSizedSensitive, maxPrivate}
	policyCode       = param{name: "code", read: uint32s(1)}
	pHashList        = param{name: "pHashList", read: readDigests}
)

func uint32s(n int) func(*Cursor) {
	return func(c *Cursor) { c.Take(4 * n) }
}

func sizedAtMost(limit int) func(*Cursor) {
	return func(c *Cursor) {
		if len(c.Sized()) > limit {
			c.Fail()
		}
	}
}

// readSensitiveCreate reads TPM2B_SENSITIVE_CREATE (Part 2, 11.1.16): userAuth and data inside a size that is theirs exactly.
func readSensitiveCreate(c *Cursor) {
	inner := NewCursor(c.Sized())
	inner.Sized()
	if data := inner.Sized(); !inner.Done() || len(data) > maxSensitive {
		c.Fail()
	}
}

// readSizedSensitive reads TPM2B_SENSITIVE (Part 2, 12.3.2.5), which may be empty: the type, then three TPM2B, whatever the type.
func readSizedSensitive(c *Cursor) {
	b := c.Sized()
	inner := NewCursor(b)
	inner.Alg()
	authValue, seed := inner.Sized(), inner.Sized()
	inner.Sized()
	if len(b) > 0 && (!inner.Done() || len(authValue) > maxDigest || len(seed) > maxDigest) {
		c.Fail()
	}
}

// readSizedPublic reads TPM2B_PUBLIC (Part 2, 12.2.5).
func readSizedPublic(c *Cursor) {
	if _, ok := ParsePublic(c.Sized()); !ok {
		c.Fail()
	}
}

// readSizedPoint reads TPM2B_ECC_POINT (Part 2, 11.2.5.3): two coordinates inside a size that is theirs exactly.
func readSizedPoint(c *Cursor) {
	inner := NewCursor(c.Sized())
	x, y := inner.Sized(), inner.Sized()
	if !inner.Done() || len(x) > maxCoordinate || len(y) > maxCoordinate {
		c.Fail()
	}
}

// readPCRSelections reads TPML_PCR_SELECTION (Part 2, 10.9.7).
func readPCRSelections(c *Cursor) {
	const maxBanks, maxSelect = 16, 4
	n := c.Uint32()
	if n > maxBanks {
		c.Fail()
	}
	for ; n > 0 && !c.Failed(); n-- {
		c.Alg()
		size := c.Uint8()
		if c.Take(int(size)); size > maxSelect {
			c.Fail()
		}
	}
}

// readRSADecryptScheme reads TPMT_RSA_DECRYPT (Part 2, 11.2.4.4).
func readRSADecryptScheme(c *Cursor) {
	switch c.Alg() {
	case tpm2.TPMAlgOAEP:
		c.Alg()
	case tpm2.TPMAlgRSAES, tpm2.TPMAlgNull:
	default:
		c.Fail()
	}
}

// readSigScheme reads TPMT_SIG_SCHEME (Part 2, 11.2.1.5).
func readSigScheme(c *Cursor) {
	switch c.Alg() {
	case tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgECDSA, tpm2.TPMAlgSM2, tpm2.TPMAlgECSchnorr, tpm2.TPMAlgHMAC:
		c.Alg()
	case tpm2.TPMAlgECDAA:
		c.Take(4)
	case tpm2.TPMAlgNull:
	default:
		c.Fail()
	}
}

// readTicket reads TPMT_TK_HASHCHECK (Part 2, 10.7.6).
func readTicket(c *Cursor) {
	c.Uint16()
	c.Uint32()
	if len(c.Sized()) > maxDigest {
		c.Fail()
	}
}

// readSymDef reads TPMT_SYM_DEF (Part 2, 11.1.6).
func readSymDef(c *Cursor) {
	switch c.Alg() {
	case tpm2.TPMAlgNull:
	case tpm2.TPMAlgXOR:
		c.Alg()
	default:
		c.Take(4) // key bits and mode
	}
}

// readSymDefObject reads TPMT_SYM_DEF_OBJECT (Part 2, 11.1.7).
func readSymDefObject(c *Cursor) {
	if c.Alg() != tpm2.TPMAlgNull {
		c.Take(4) // key bits and mode
	}
}

// readDigests reads TPML_DIGEST (Part 2, 10.9.3).
func readDigests(c *Cursor) {
	const most = 8
	n := c.Uint32()
	if n > most {
		c.Fail()
	}
	for ; n > 0 && !c.Failed(); n-- {
		sizedAtMost(maxDigest)(c)
	}
}

// Sizes of digests in a TPMT_HA, which has no size field (Part 2, 10.3.2).
var digestSizes = map[tpm2.TPMAlgID]int{
	tpm2.TPMAlgSHA1: 20, tpm2.TPMAlgSHA256: 32, tpm2.TPMAlgSHA384: 48, tpm2.TPMAlgSHA512: 64,
	tpm2.TPMAlgSHA3256: 32, tpm2.TPMAlgSHA3384: 48, tpm2.TPMAlgSHA3512: 64,
}

// readDigestValues reads TPML_DIGEST_VALUES (Part 2, 10.9.5).
func readDigestValues(c *Cursor) {
	for n := c.Uint32(); n > 0 && !c.Failed(); n-- {
		size, ok := digestSizes[c.Alg()]
		if c.Take(size); !ok {
			c.Fail()
		}
	}
}

// readContext reads TPMS_CONTEXT (Part 2, 14.5).
func readContext(c *Cursor) {
	c.Take(8 + 4 + 4) // sequence, savedHandle, hierarchy
	c.Sized()
}

// readPublicParms reads TPMT_PUBLIC_PARMS (Part 2, 12.2.3.8).
func readPublicParms(c *Cursor) {
	p := Public{Type: c.Alg()}
	if p.readParameters(c); c.Failed() {
		c.Fail()
	}
}
