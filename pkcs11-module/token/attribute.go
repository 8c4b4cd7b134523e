package token

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
)

func boolean(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

func number[T ~uint64](v T) []byte { return binary.NativeEndian.AppendUint64(nil, uint64(v)) }

// Which classes have an attribute.
const (
	private = 1 << iota
	public
	certificate
	dataObject
	profile
	keys = private | public
	all  = keys | certificate | dataObject | profile
)

var classBits = map[uint64]int{CKO_PRIVATE_KEY: private, CKO_PUBLIC_KEY: public, CKO_CERTIFICATE: certificate, CKO_DATA: dataObject, CKO_PROFILE: profile}

// A form is what values of an attribute look like.
type form func(value []byte) bool

func isBoolean(v []byte) bool    { return len(v) == 1 && v[0] <= 1 }
func isNumber(v []byte) bool     { return len(v) == 8 }
func isBytes([]byte) bool        { return true }
func isBigInteger(v []byte) bool { return len(bytes.TrimLeft(v, "\x00")) > 0 }
func isDate(v []byte) bool       { return len(v) == 0 || len(v) == 8 } // CK_DATE, 3.4
func isNumbers(v []byte) bool    { return len(v)%8 == 0 }

// When a host may name an attribute in a template: in C_CreateObject, C_GenerateKeyPair, C_CopyObject and C_SetAttributeValue.
const (
	creating = 1 << iota
	generating
	copying
	changing
	making   = creating | generating
	anytime  = making | copying | changing
	onlyOnce = making | copying
)

// A row says everything of an attribute.
type row struct {
	classes int
	form    form
	when    int
	kept    bool                 // an object has its own value where it was given one; else the given one must be true of it, or is only a wish
	value   func(*object) []byte // what is true of an object that has none of its own; nil: it is never told
}

// attributes has a row for each attribute.
var attributes = map[attributeType]row{
	CKA_CLASS:       {all, isNumber, making, false, func(o *object) []byte { return number(o.class) }},
	CKA_TOKEN:       {all, isBoolean, onlyOnce, false, func(o *object) []byte { return boolean(o.owner == nil) }},
	CKA_PRIVATE:     {all, isBoolean, onlyOnce, true, isPrivate},
	CKA_MODIFIABLE:  {all, isBoolean, onlyOnce, true, isChangeable},
	CKA_COPYABLE:    {all, isBoolean, onlyOnce, true, isChangeable},
	CKA_DESTROYABLE: {all, isBoolean, onlyOnce, true, isChangeable},
	CKA_LABEL:       {all, isBytes, anytime, true, label},
	CKA_UNIQUE_ID:   {all, isBytes, 0, false, uniqueID},
	CKA_ID:          {keys | certificate, isBytes, anytime, true, id},
	CKA_SUBJECT:     {keys | certificate, isBytes, anytime, true, subject},
	CKA_START_DATE:  {keys | certificate, isDate, anytime, true, nothing},
	CKA_END_DATE:    {keys | certificate, isDate, anytime, true, nothing},

	CKA_KEY_TYPE:           {keys, isNumber, making, false, func(*object) []byte { return number(CKK_RSA) }},
	CKA_DERIVE:             {keys, isBoolean, anytime, false, always(false)},
	CKA_LOCAL:              {keys, isBoolean, 0, false, isLocal},
	CKA_KEY_GEN_MECHANISM:  {keys, isNumber, 0, false, generationMechanism},
	CKA_ALLOWED_MECHANISMS: {keys, isNumbers, onlyOnce, true, allowedMechanisms},
	CKA_MODULUS:            {keys, isBigInteger, creating, false, func(o *object) []byte { return o.public.N.Bytes() }},
	CKA_PUBLIC_EXPONENT:    {keys, isBigInteger, making, false, exponent},
	CKA_PUBLIC_KEY_INFO:    {keys | certificate, isBytes, creating, false, publicKeyInfo},
	CKA_MODULUS_BITS:       {public, isNumber, generating, false, func(o *object) []byte { return number(uint64(o.public.N.BitLen())) }},

	CKA_ENCRYPT:        {public, isBoolean, anytime, true, decryptsWith},
	CKA_VERIFY:         {public, isBoolean, anytime, true, signsWith},
	CKA_VERIFY_RECOVER: {public, isBoolean, anytime, true, signsWith},
	CKA_WRAP:           {public, isBoolean, anytime, false, always(false)},
	CKA_TRUSTED:        {public | certificate, isFalse, making, false, always(false)},

	CKA_SIGN:                {private, isBoolean, anytime, true, signsWith},
	CKA_DECRYPT:             {private, isBoolean, anytime, true, decryptsWith},
	CKA_SIGN_RECOVER:        {private, isBoolean, anytime, true, signsWith},
	CKA_UNWRAP:              {private, isBoolean, anytime, false, always(false)},
	CKA_SENSITIVE:           {private, isTrue, anytime, false, always(true)},
	CKA_ALWAYS_SENSITIVE:    {private, isBoolean, 0, false, isHardware},
	CKA_EXTRACTABLE:         {private, isFalse, anytime, false, always(false)},
	CKA_NEVER_EXTRACTABLE:   {private, isBoolean, 0, false, isHardware},
	CKA_ALWAYS_AUTHENTICATE: {private, isFalse, making, false, always(false)},
	CKA_WRAP_WITH_TRUSTED:   {private, isFalse, making, false, always(false)},
	CKA_PRIVATE_EXPONENT:    {private, isBigInteger, creating, false, nil},
	CKA_PRIME_1:             {private, isBigInteger, creating, false, nil},
	CKA_PRIME_2:             {private, isBigInteger, creating, false, nil},
	CKA_EXPONENT_1:          {private, isBigInteger, creating, false, nil},
	CKA_EXPONENT_2:          {private, isBigInteger, creating, false, nil},
	CKA_COEFFICIENT:         {private, isBigInteger, creating, false, nil},

	CKA_CERTIFICATE_TYPE:           {certificate, isNumber, creating, false, func(*object) []byte { return number(CKC_X_509) }},
	CKA_CERTIFICATE_CATEGORY:       {certificate, isNumber, creating | copying, true, func(*object) []byte { return number(uint64(0)) }}, // unspecified
	CKA_ISSUER:                     {certificate, isBytes, creating | changing, true, ofCertificate(func(c *x509.Certificate) []byte { return c.RawIssuer })},
	CKA_SERIAL_NUMBER:              {certificate, isBytes, creating | changing, true, ofCertificate(serial)},
	CKA_JAVA_MIDP_SECURITY_DOMAIN:  {certificate, isNumber, creating, true, func(*object) []byte { return number(uint64(0)) }}, // unspecified
	CKA_HASH_OF_SUBJECT_PUBLIC_KEY: {certificate, isBytes, creating, true, nothing},
	CKA_HASH_OF_ISSUER_PUBLIC_KEY:  {certificate, isBytes, creating, true, nothing},
	CKA_NAME_HASH_ALGORITHM:        {certificate, isNumber, creating, true, func(*object) []byte { return number(CKM_SHA_1) }},
	CKA_URL:                        {certificate, isBytes, creating, true, nothing},
	CKA_CHECK_VALUE:                {certificate, isBytes, creating, true, checkValue},
	CKA_VALUE:                      {certificate | dataObject, isBytes, anytime &^ generating, true, ofCertificate(func(c *x509.Certificate) []byte { return c.Raw })},

	CKA_APPLICATION: {dataObject, isBytes, anytime, true, nothing},
	CKA_OBJECT_ID:   {dataObject, isBytes, anytime, true, nothing},

	CKA_PROFILE_ID: {profile, isNumber, 0, false, func(o *object) []byte { return number(o.profile) }},
}

func always(v bool) func(*object) []byte { return func(*object) []byte { return boolean(v) } }

// isChangeable is true of all but profiles, which are what the module is.
func isChangeable(o *object) []byte { return boolean(o.class != CKO_PROFILE) }

func nothing(*object) []byte { return nil }

func isTrue(v []byte) bool  { return isBoolean(v) && v[0] == 1 }
func isFalse(v []byte) bool { return isBoolean(v) && v[0] == 0 }

// isPrivate is true for what is seen only after a login.
func isPrivate(o *object) []byte {
	return boolean(o.class == CKO_PRIVATE_KEY && o.token.classic != nil)
}

func label(o *object) []byte {
	if o.key == nil || o.key.Path() == "" {
		return nil
	}
	return []byte(o.key.Label())
}

func id(o *object) []byte {
	if o.key == nil || o.key.Path() == "" {
		return nil
	}
	return o.key.ID()
}

// uniqueID identifies an object (PKCS #11 v3.0, 4.4): one on the token for ever, another one for its life.
func uniqueID(o *object) []byte {
	sum := sha256.Sum256([]byte(o.identity()))
	return []byte(hex.EncodeToString(sum[:16]))
}

// subject is the certificate's, also on the keys, by which some hosts match them.
func subject(o *object) []byte {
	if o.certificate == nil {
		return nil
	}
	return o.certificate.RawSubject
}

// What a key can be used for. A public key that is alone is for everything.
func signsWith(o *object) []byte    { return boolean(o.key == nil || o.key.CanSign()) }
func decryptsWith(o *object) []byte { return boolean(o.key == nil || o.key.CanDecrypt()) }

// isHardware is what is true only of keys that were made in the TPM and cannot leave it. Others have been, or may get, elsewhere.
func isHardware(o *object) []byte { return boolean(o.key.Origin().Hardware()) }

func isLocal(o *object) []byte { return boolean(o.key != nil && o.key.Origin().Hardware()) }

// generationMechanism is CK_UNAVAILABLE_INFORMATION where CKA_LOCAL is false (4.5).
func generationMechanism(o *object) []byte {
	if o.key == nil || !o.key.Origin().Hardware() {
		return number(unavailable)
	}
	return number(CKM_RSA_PKCS_KEY_PAIR_GEN)
}

// allowedMechanisms is what a key can be used with.
func allowedMechanisms(o *object) []byte {
	var b []byte
	for _, m := range mechanisms {
		if m.flags&CKF_SIGN != 0 && signsWith(o)[0] == 1 || m.flags&CKF_DECRYPT != 0 && decryptsWith(o)[0] == 1 {
			b = binary.NativeEndian.AppendUint64(b, uint64(m.kind))
		}
	}
	return b
}

func exponent(o *object) []byte {
	return bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, uint64(o.public.E)), "\x00")
}

func publicKeyInfo(o *object) []byte {
	if o.class == CKO_CERTIFICATE {
		return ofCertificate(func(c *x509.Certificate) []byte { return c.RawSubjectPublicKeyInfo })(o)
	}
	der, err := x509.MarshalPKIXPublicKey(o.public)
	if err != nil {
		return nil
	}
	return der
}

// ofCertificate is a value that a certificate has, if it is one.
func ofCertificate(value func(*x509.Certificate) []byte) func(*object) []byte {
	return func(o *object) []byte {
		if o.certificate == nil || o.class != CKO_CERTIFICATE {
			return nil
		}
		return value(o.certificate)
	}
}

// serial is the DER of the certificate's serial number.
func serial(c *x509.Certificate) []byte {
	der, err := asn1.Marshal(c.SerialNumber)
	if err != nil {
		return nil
	}
	return der
}

// checkValue is the beginning of the SHA-1 of a certificate (4.6.2).
func checkValue(o *object) []byte {
	value := o.own[CKA_VALUE]
	if o.certificate != nil {
		value = o.certificate.Raw
	}
	return checkValueOf(value)
}

func checkValueOf(certificate []byte) []byte {
	if len(certificate) == 0 {
		return nil
	}
	sum := sha1.Sum(certificate)
	return sum[:3]
}

// usage are attributes that an object can have less of than is true of its key, and never more.
var usage = map[attributeType]bool{
	CKA_SIGN: true, CKA_SIGN_RECOVER: true, CKA_DECRYPT: true, CKA_VERIFY: true, CKA_VERIFY_RECOVER: true, CKA_ENCRYPT: true,
}

// attribute gives the value of an attribute, or why there is none.
func (o *object) attribute(kind attributeType) ([]byte, CKR) {
	row, ok := attributes[kind]
	switch {
	case !ok || row.classes&classBits[o.class] == 0:
		return nil, CKR_ATTRIBUTE_TYPE_INVALID
	case row.value == nil:
		return nil, CKR_ATTRIBUTE_SENSITIVE
	}
	own, ok := o.own[kind]
	if !ok || usage[kind] && isTrue(own) {
		return row.value(o), CKR_OK
	}
	return own, CKR_OK
}

// is tells whether an object has an attribute that is true.
func (o *object) is(kind attributeType) bool {
	value, rv := o.attribute(kind)
	return rv == CKR_OK && isTrue(value)
}

// allows tells whether CKA_ALLOWED_MECHANISMS has a mechanism, where a host has set it.
func (o *object) allows(m mechanismType) bool {
	own, ok := o.own[CKA_ALLOWED_MECHANISMS]
	for ; ok && len(own) >= 8; own = own[8:] {
		if binary.NativeEndian.Uint64(own) == uint64(m) {
			return true
		}
	}
	return !ok
}
