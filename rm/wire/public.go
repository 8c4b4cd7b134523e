package wire

import "github.com/google/go-tpm/tpm2"

// Attributes of an object (TPMA_OBJECT, Part 2, 8.3).
const (
	FixedTPM             uint32 = 1 << 1
	STClear              uint32 = 1 << 2
	FixedParent          uint32 = 1 << 4
	SensitiveDataOrigin  uint32 = 1 << 5
	UserWithAuth         uint32 = 1 << 6
	AdminWithPolicy      uint32 = 1 << 7
	NoDA                 uint32 = 1 << 10
	EncryptedDuplication uint32 = 1 << 11
	Restricted           uint32 = 1 << 16
	Decrypt              uint32 = 1 << 17
	Sign                 uint32 = 1 << 18
)

// Public is a public area (TPMT_PUBLIC, Part 2, 12.2.4) of a key: RSA or ECC. Other types are read as far as their form is
// known. Its slices share memory with what was parsed.
type Public struct {
	Type       tpm2.TPMAlgID
	NameAlg    tpm2.TPMAlgID
	Attributes uint32
	AuthPolicy []byte
	Symmetric  Symmetric     // of a storage key
	Scheme     tpm2.TPMAlgID // TPM_ALG_NULL: chosen with each use
	SchemeHash tpm2.TPMAlgID // 0 where the scheme has none
	KeyBits    uint16        // RSA
	Exponent   uint32        // RSA; 0 means 65537
	Curve      tpm2.TPMECCCurve
	KDF        tpm2.TPMAlgID // ECC
	Unique     [2][]byte     // the RSA modulus, or the point's x and y
}

// Symmetric is the algorithm that a storage key encrypts its children with (TPMT_SYM_DEF_OBJECT, Part 2, 11.1.7).
type Symmetric struct {
	Alg     tpm2.TPMAlgID
	KeyBits uint16
	Mode    tpm2.TPMAlgID
}

// ParsePublic reads a whole TPMT_PUBLIC.
func ParsePublic(b []byte) (Public, bool) {
	c := NewCursor(b)
	p := Public{Type: c.Alg(), NameAlg: c.Alg(), Attributes: c.Uint32(), AuthPolicy: c.Sized()}
	if len(p.AuthPolicy) > maxDigest {
		return Public{}, false
	}
	p.readParameters(&c)
	p.readUnique(&c)
	if !c.Done() {
		return Public{}, false
	}
	return p, true
}

// ParseSizedPublic reads a whole TPM2B_PUBLIC.
func ParseSizedPublic(b []byte) (Public, bool) {
	c := NewCursor(b)
	inner := c.Sized()
	if !c.Done() {
		return Public{}, false
	}
	return ParsePublic(inner)
}

// readParameters reads TPMU_PUBLIC_PARMS (Part 2, 12.2.3.7) for p.Type.
func (p *Public) readParameters(c *Cursor) {
	switch p.Type {
	case tpm2.TPMAlgRSA:
		p.readSymmetric(c)
		p.readScheme(c)
		p.KeyBits, p.Exponent = c.Uint16(), c.Uint32()
	case tpm2.TPMAlgECC:
		p.readSymmetric(c)
		p.readScheme(c)
		p.Curve = tpm2.TPMECCCurve(c.Uint16())
		if p.KDF = c.Alg(); p.KDF != tpm2.TPMAlgNull {
			c.Alg()
		}
	case tpm2.TPMAlgKeyedHash:
		p.readKeyedHashScheme(c)
	case tpm2.TPMAlgSymCipher:
		p.readSymmetric(c)
	default:
		c.Fail()
	}
}

// readUnique reads TPMU_PUBLIC_ID (Part 2, 12.2.3.2) for p.Type.
func (p *Public) readUnique(c *Cursor) {
	p.Unique[0] = c.Sized()
	if p.Type == tpm2.TPMAlgECC {
		p.Unique[1] = c.Sized()
	}
	if len(p.Unique[0]) > maxRSA || len(p.Unique[1]) > maxRSA {
		c.Fail()
	}
}

func (p *Public) readSymmetric(c *Cursor) {
	if p.Symmetric.Alg = c.Alg(); p.Symmetric.Alg == tpm2.TPMAlgNull {
		return
	}
	p.Symmetric.KeyBits, p.Symmetric.Mode = c.Uint16(), c.Alg()
}

// readScheme reads TPMT_RSA_SCHEME or TPMT_ECC_SCHEME (Part 2, 11.2.4.2 and 11.2.5.6).
func (p *Public) readScheme(c *Cursor) {
	switch p.Scheme = c.Alg(); p.Scheme {
	case tpm2.TPMAlgNull, tpm2.TPMAlgRSAES:
	case tpm2.TPMAlgECDAA:
		p.SchemeHash = c.Alg()
		c.Uint16() // count
	case tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgOAEP,
		tpm2.TPMAlgECDSA, tpm2.TPMAlgSM2, tpm2.TPMAlgECSchnorr, tpm2.TPMAlgECDH, tpm2.TPMAlgECMQV:
		p.SchemeHash = c.Alg()
	default:
		c.Fail()
	}
}

// readKeyedHashScheme reads TPMT_KEYEDHASH_SCHEME (Part 2, 11.1.22).
func (p *Public) readKeyedHashScheme(c *Cursor) {
	switch p.Scheme = c.Alg(); p.Scheme {
	case tpm2.TPMAlgNull:
	case tpm2.TPMAlgHMAC:
		p.SchemeHash = c.Alg()
	case tpm2.TPMAlgXOR:
		p.SchemeHash = c.Alg()
		p.KDF = c.Alg()
	default:
		c.Fail()
	}
}

// Has tells whether all the attributes in mask are SET.
func (p *Public) Has(mask uint32) bool { return p.Attributes&mask == mask }

// HasAny tells whether any attribute in mask is SET.
func (p *Public) HasAny(mask uint32) bool { return p.Attributes&mask != 0 }
