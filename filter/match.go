package filter

import (
	"bytes"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A handleRule says what may stand in one place of a handle area.
type handleRule struct {
	text string // as a profile prints it
	why  string // what a denial says
	fits func(handle uint32, held bool, object Object) bool
}

var (
	ownerOrNull = handleRule{"owner or null", "keys are made in the owner or the null hierarchy only",
		func(h uint32, _ bool, _ Object) bool {
			return h == uint32(tpm2.TPMRHOwner) || h == uint32(tpm2.TPMRHNull)
		}}
	null = handleRule{"null", "a session bound to an object is an oracle for its auth value",
		func(h uint32, _ bool, _ Object) bool { return h == uint32(tpm2.TPMRHNull) }}
	parent = handleRule{"own storage primary or srk", "not a storage parent that the caller may use",
		func(_ uint32, held bool, o Object) bool { return held && o.IsParent() }}
	parentOrNull = handleRule{"own storage primary, srk or null", "not a key that the caller may salt with",
		func(h uint32, held bool, o Object) bool { return h == uint32(tpm2.TPMRHNull) || held && o.IsParent() }}
	readable = handleRule{"own object or srk", "other persistent keys identify the machine",
		func(_ uint32, held bool, o Object) bool { return held && !o.Sequence }}
	ownObject = handleRule{"own object", "not an object of the caller's own",
		func(h uint32, held bool, _ Object) bool { return held && wire.IsTransient(h) }}
	ownSequence = handleRule{"own hash sequence", "not a hash sequence of the caller's own",
		func(_ uint32, held bool, o Object) bool { return held && o.Sequence }}
	signKey    = keyWith("own rsa key that signs", wire.Sign)
	decryptKey = keyWith("own rsa key that decrypts", wire.Decrypt)
	plainKey   = handleRule{"own rsa key without adminWithPolicy", "not a key whose auth value the caller may change",
		func(_ uint32, held bool, o Object) bool {
			return held && isPlainRSA(o) && o.Attributes&wire.AdminWithPolicy == 0
		}}
)

func keyWith(text string, attribute uint32) handleRule {
	return handleRule{text, "not an " + text, func(_ uint32, held bool, o Object) bool {
		return held && isPlainRSA(o) && o.Attributes&attribute != 0
	}}
}

func isPlainRSA(o Object) bool { return o.Type == tpm2.TPMAlgRSA && o.Attributes&wire.Restricted == 0 }

// A condition is something that the parameters of a command must fulfil.
type condition struct {
	text  string // as a profile prints it
	why   string // what a denial says
	rc    tpm2.TPMRC
	holds func(c *wire.Command, holder Holder) bool
}

func param(text, why string, holds func(c *wire.Command) bool) condition {
	return condition{text, why, RCDenied, func(c *wire.Command, _ Holder) bool { return holds(c) }}
}

func inPublic(text, why string, holds func(p *wire.Public) bool) condition {
	return param("inPublic is "+text, why, func(c *wire.Command) bool {
		p, ok := wire.ParseSizedPublic(c.Param("inPublic"))
		return ok && holds(&p)
	})
}

const fixedParentAttributes = wire.FixedTPM | wire.FixedParent | wire.SensitiveDataOrigin | wire.UserWithAuth

var (
	storageTemplate = inPublic("a standard storage parent", "only standard storage primaries are made here", isStorageTemplate)
	rsaTemplate     = inPublic("a new rsa key that cannot leave", "only RSA signing and decryption keys bound to this TPM are made here", isKeyTemplate)
	rsaKey          = inPublic("an rsa key, not restricted", "only unrestricted RSA keys are loaded here", isLoadable)

	noCreationPCR = param("creationPCR is empty", "creation data with PCR values is attestation", func(c *wire.Command) bool {
		return bytes.Equal(c.Param("creationPCR"), []byte{0, 0, 0, 0})
	})
	smallOutsideInfo = param("outsideInfo <= 64", "outsideInfo is too long", func(c *wire.Command) bool {
		return len(c.Param("outsideInfo")) <= 2+64
	})
	noSessions = param("no sessions", "a session on this command serves only audit", func(c *wire.Command) bool { return len(c.Auths()) == 0 })
	unspoken   = param("no sessions", "the manager answers this itself, and cannot speak for a session", func(c *wire.Command) bool { return len(c.Auths()) == 0 })
	byPassword = param("authorized by a password", "the manager answers this itself, and cannot speak for a session", func(c *wire.Command) bool {
		return len(c.Auths()) == 1 && c.Auths()[0].Session == wire.RSPassword
	})
	smallRandom = param("bytesRequested <= 64", "at most 64 random bytes in one command", func(c *wire.Command) bool {
		b := c.Param("bytesRequested")
		return b[0] == 0 && b[1] <= 64
	})
	rsaParms = param("parameters are rsa", "only RSA parameters are tested here", func(c *wire.Command) bool {
		return algAt(c.Param("parameters"), 0) == tpm2.TPMAlgRSA
	})
	rsaScheme = param("inScheme is rsassa, rsapss or null", "not an RSA signature scheme", func(c *wire.Command) bool {
		return isOneOf(algAt(c.Param("inScheme"), 0), tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgNull)
	})
	hashcheck = param("validation is a hashcheck ticket", "not a hash check ticket", func(c *wire.Command) bool {
		return algAt(c.Param("validation"), 0) == tpm2.TPMAlgID(tpm2.TPMSTHashCheck)
	})
	decryptScheme = param("inScheme is oaep, rsaes or null", "not an RSA decryption scheme", isDecryptScheme)
	oaepLabel     = param("label is empty or ends with nul", "a label must end with a NUL byte", func(c *wire.Command) bool {
		label := c.Param("label")
		return len(label) == 2 || label[len(label)-1] == 0
	})
	hmacSession = param("sessionType is hmac", "policy sessions authorize what this profile does not allow", func(c *wire.Command) bool {
		return c.Param("sessionType")[0] == byte(tpm2.TPMSEHMAC)
	})
	sessionCipher = param("symmetric is null or aes-cfb", "not a cipher for parameters", isSessionCipher)
	strongHash    = param("authHash is sha256 or stronger", "not a hash for sessions", func(c *wire.Command) bool {
		return isStrongHash(algAt(c.Param("authHash"), 0))
	})
	nonceSize = param("nonceCaller is 16 to 64", "a nonce has 16 to 64 bytes", func(c *wire.Command) bool {
		n := len(c.Param("nonceCaller")) - 2
		return n >= 16 && n <= 64
	})
	publicCapability = param("capability is algs, commands, handles, tpm-properties or ecc-curves", "this capability tells about the machine, not about RSA keys", isPublicCapability)

	ownHandle = condition{"flushHandle is own", "not a handle of the caller's own", RCNoValue,
		func(c *wire.Command, holder Holder) bool {
			cursor := wire.NewCursor(c.Param("flushHandle"))
			handle := cursor.Uint32()
			_, held := holder.Object(handle)
			return wire.IsTransient(handle) && held || wire.IsAuthSession(handle) && holder.HoldsSession(handle)
		}}
)

// isStorageTemplate takes what TCG's storage templates have: RSA 2048 or ECC P-256 with AES-128-CFB, no policy, a unique field
// that is empty or zeros of full length. Every other unique field would be one more primary.
func isStorageTemplate(p *wire.Public) bool {
	const attributes = fixedParentAttributes | wire.Restricted | wire.Decrypt
	common := p.Attributes&^wire.NoDA == attributes && p.NameAlg == tpm2.TPMAlgSHA256 && len(p.AuthPolicy) == 0 &&
		p.Scheme == tpm2.TPMAlgNull && p.Symmetric == wire.Symmetric{Alg: tpm2.TPMAlgAES, KeyBits: 128, Mode: tpm2.TPMAlgCFB}
	switch p.Type {
	case tpm2.TPMAlgRSA:
		return common && p.KeyBits == 2048 && (p.Exponent == 0 || p.Exponent == 65537) && isEmptyOrZeros(p.Unique[0], 256)
	case tpm2.TPMAlgECC:
		return common && p.Curve == tpm2.TPMECCNistP256 && p.KDF == tpm2.TPMAlgNull && len(p.Unique[0]) == len(p.Unique[1]) &&
			isEmptyOrZeros(p.Unique[0], 32) && isEmptyOrZeros(p.Unique[1], 32)
	}
	return false
}

// IsSRK tells whether a persistent object may stand as the storage root key for everybody (U9).
func IsSRK(p *wire.Public) bool {
	const attributes = wire.FixedTPM | wire.FixedParent | wire.UserWithAuth
	return p.Has(attributes) && ObjectOf(p).IsParent() && isOneOf(p.Type, tpm2.TPMAlgRSA, tpm2.TPMAlgECC)
}

func isKeyTemplate(p *wire.Public) bool {
	const never = wire.Restricted | wire.AdminWithPolicy | wire.EncryptedDuplication | wire.STClear
	return p.Type == tpm2.TPMAlgRSA && p.Has(fixedParentAttributes) && !p.HasAny(never) && p.HasAny(wire.Sign|wire.Decrypt) &&
		isOneOf(p.KeyBits, 2048, 3072, 4096) && (p.Exponent == 0 || p.Exponent&1 == 1) && isStrongHash(p.NameAlg) &&
		p.Symmetric.Alg == tpm2.TPMAlgNull && len(p.AuthPolicy) == 0 &&
		isOneOf(p.Scheme, tpm2.TPMAlgNull, tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgRSAES, tpm2.TPMAlgOAEP)
}

func isLoadable(p *wire.Public) bool {
	return p.Type == tpm2.TPMAlgRSA && !p.HasAny(wire.Restricted) && p.HasAny(wire.Sign|wire.Decrypt)
}

func isDecryptScheme(c *wire.Command) bool {
	scheme := c.Param("inScheme")
	if algAt(scheme, 0) != tpm2.TPMAlgOAEP {
		return true // the parse knows TPM_ALG_RSAES and TPM_ALG_NULL besides
	}
	hash := algAt(scheme, 2)
	return hash == tpm2.TPMAlgSHA1 || isStrongHash(hash)
}

func isSessionCipher(c *wire.Command) bool {
	symmetric := c.Param("symmetric")
	return algAt(symmetric, 0) == tpm2.TPMAlgNull ||
		algAt(symmetric, 0) == tpm2.TPMAlgAES && algAt(symmetric, 4) == tpm2.TPMAlgCFB
}

func isPublicCapability(c *wire.Command) bool {
	cursor := wire.NewCursor(c.Param("capability"))
	return isOneOf(tpm2.TPMCap(cursor.Uint32()),
		tpm2.TPMCapAlgs, tpm2.TPMCapCommands, tpm2.TPMCapHandles, tpm2.TPMCapTPMProperties, tpm2.TPMCapECCCurves)
}

func isStrongHash(alg tpm2.TPMAlgID) bool {
	return isOneOf(alg, tpm2.TPMAlgSHA256, tpm2.TPMAlgSHA384, tpm2.TPMAlgSHA512, tpm2.TPMAlgSHA3256, tpm2.TPMAlgSHA3384, tpm2.TPMAlgSHA3512)
}

func isEmptyOrZeros(b []byte, full int) bool {
	return len(b) == 0 || len(b) == full && len(bytes.TrimLeft(b, "\x00")) == 0
}

func algAt(b []byte, offset int) tpm2.TPMAlgID {
	if len(b) < offset+2 {
		return tpm2.TPMAlgNull
	}
	return tpm2.TPMAlgID(b[offset])<<8 | tpm2.TPMAlgID(b[offset+1])
}

func isOneOf[T comparable](v T, of ...T) bool {
	for _, o := range of {
		if v == o {
			return true
		}
	}
	return false
}
