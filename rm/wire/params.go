package wire

import "github.com/google/go-tpm/tpm2"

// A param is one parameter of a command: its name in Part 3 and the reading of its form.
type param struct {
	name string
	read func(*Cursor)
}

// Limits of sized parameters, in bytes.
const (
	maxDigest    = 64   // SHA-512
	maxSensitive = 256  // user auth and data of a key: far less than this
	maxRSA       = 512  // RSA 4096
	maxPrivate   = 2048 // a wrapped RSA 4096 key with its seed
	maxBuffer    = 1024 // MAX_DIGEST_BUFFER
	maxData      = 66   // TPM2B_DATA holds a TPMT_HA at most
	maxName      = 68   // TPM2B_NAME holds a TPMU_NAME
	maxTemplate  = 1024 // TPM2B_TEMPLATE: a TPMT_PUBLIC and what may take the place of its unique field
	maxPoint     = 256  // TPM2B_ECC_POINT: two coordinates
)

// The parameters of the commands that a profile may let through after a look inside, each under its name in Part 3.
var (
	sensitiveCreate = param{"inSensitive", readSensitiveCreate}
	public          = param{"inPublic", readSizedPublic}
	dataBuffer      = param{"outsideInfo", sizedAtMost(maxData)}
	pcrSelections   = param{"creationPCR", readPCRSelections}
	authValue       = param{"newAuth", sizedAtMost(maxDigest)}
	privateBlob     = param{"inPrivate", sizedAtMost(maxPrivate)}
	rsaText         = param{"cipherText", sizedAtMost(maxRSA)}
	decryptScheme   = param{"inScheme", readRSADecryptScheme}
	label           = param{"label", sizedAtMost(128)}
	digest          = param{"digest", sizedAtMost(maxDigest)}
	signScheme      = param{"inScheme", readSigScheme}
	hashcheckTicket = param{"validation", readTicket}
	flushHandle     = param{"flushHandle", uint32s(1)}
	nonce           = param{"nonceCaller", sizedAtMost(maxNonce)}
	encryptedSalt   = param{"encryptedSalt", sizedAtMost(maxRSA)}
	sessionType     = param{"sessionType", func(c *Cursor) { c.Uint8() }}
	symmetric       = param{"symmetric", readSymDef}
	authHash        = param{"authHash", func(c *Cursor) { c.Uint16() }}
	capability      = param{"capability", uint32s(1)}
	property        = param{"property", uint32s(1)}
	propertyCount   = param{"propertyCount", uint32s(1)}
	bytesRequested  = param{"bytesRequested", func(c *Cursor) { c.Uint16() }}
	publicParms     = param{"parameters", readPublicParms}
	hashData        = param{"data", sizedAtMost(maxBuffer)}
	buffer          = param{"buffer", sizedAtMost(maxBuffer)}
	hashAlg         = param{"hashAlg", func(c *Cursor) { c.Uint16() }}
	hierarchy       = param{"hierarchy", uint32s(1)}
	sequenceAuth    = param{"auth", sizedAtMost(maxDigest)}
	savedContext    = param{"context", readContext}

	persistentHandle = param{"persistentHandle", uint32s(1)}
	template         = param{"inPublic", sizedAtMost(maxTemplate)}
	qualifyingData   = param{"qualifyingData", sizedAtMost(maxData)}
	creationHash     = param{"creationHash", sizedAtMost(maxDigest)}
	creationTicket   = param{"creationTicket", readTicket}
	pcrSelect        = param{"PCRselect", readPCRSelections}
	pcrSelectionIn   = param{"pcrSelectionIn", readPCRSelections}
	digestValues     = param{"digests", readDigestValues}
	inPoint          = param{"inPoint", sizedAtMost(maxPoint)}
	encryptionKey    = param{"encryptionKey", sizedAtMost(maxData)}
	encryptionKeyIn  = param{"encryptionKeyIn", sizedAtMost(maxData)}
	objectPublic     = param{"objectPublic", readSizedPublic}
	duplicate        = param{"duplicate", sizedAtMost(maxPrivate)}
	inDuplicate      = param{"inDuplicate", sizedAtMost(maxPrivate)}
	inSymSeed        = param{"inSymSeed", sizedAtMost(maxRSA)}
	symmetricAlg     = param{"symmetricAlg", readSymDefObject}
	name             = param{"name", sizedAtMost(maxName)}
	objectName       = param{"objectName", sizedAtMost(maxName)}
	newParentName    = param{"newParentName", sizedAtMost(maxName)}
	includeObject    = param{"includeObject", func(c *Cursor) { c.Uint8() }}
	sensitive        = param{"inPrivate", sizedAtMost(maxPrivate)}
	policyCode       = param{"code", uint32s(1)}
	pHashList        = param{"pHashList", readDigests}
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

// readSizedPublic reads TPM2B_PUBLIC (Part 2, 12.2.5).
func readSizedPublic(c *Cursor) {
	if _, ok := ParsePublic(c.Sized()); !ok {
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
