package token

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"slices"

	"tpmkey.example/provider"
)

// An attribute is a CK_ATTRIBUTE as it was passed.
type attribute struct {
	kind  attributeType
	value []byte
}

type template []attribute

// get gives an attribute's value.
func (t template) get(kind attributeType) ([]byte, bool) {
	i := slices.IndexFunc(t, func(a attribute) bool { return a.kind == kind })
	if i < 0 {
		return nil, false
	}
	return t[i].value, true
}

// An object is what a host sees of a key: its private part, its public part, or its certificate. It lives as long as the file does.
type object struct {
	handle      uint64
	class       uint64
	key         *provider.Key
	certificate *x509.Certificate // nil where there is none
}

// objects are the token's, by handle. A handle means the same object for as long as the library is initialised.
type objects struct {
	byHandle map[uint64]*object
	handles  map[string]uint64 // by identity
	order    []uint64
}

func newObjects() objects {
	return objects{byHandle: map[uint64]*object{}, handles: map[string]uint64{}}
}

// refresh reads the store anew; files that did not change are not read again. Refused files are only logged: a quiet token is better than none.
func (l *Library) refresh() {
	l.scanning.Lock()
	defer l.scanning.Unlock()
	keys := l.provider()
	if keys == nil {
		return
	}
	all, err := keys.Keys()
	if err != nil {
		l.log(err.Error())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.objects.byHandle)
	l.objects.order = nil
	for _, k := range all {
		l.objects.addKey(k)
	}
}

// addKey adds the objects of a key.
func (o *objects) addKey(k *provider.Key) {
	certificate, err := x509.ParseCertificate(k.Certificate())
	if err != nil {
		certificate = nil
	}
	o.add(&object{class: CKO_PRIVATE_KEY, key: k, certificate: certificate})
	o.add(&object{class: CKO_PUBLIC_KEY, key: k, certificate: certificate})
	if certificate != nil {
		o.add(&object{class: CKO_CERTIFICATE, key: k, certificate: certificate})
	}
}

// identity is what makes two objects the same.
func identity(class uint64, k *provider.Key) string {
	return fmt.Sprintf("%d %x %s", class, k.Public().N, k.Path())
}

func (o *objects) add(new *object) {
	identity := identity(new.class, new.key)
	handle := o.handles[identity]
	if handle == 0 {
		handle = uint64(len(o.handles) + 1)
		o.handles[identity] = handle
	}
	new.handle = handle
	o.byHandle[handle] = new
	o.order = append(o.order, handle)
}

// object gives the object of a handle.
func (s *session) object(handle uint64) *object {
	s.library.mu.Lock()
	defer s.library.mu.Unlock()
	return s.library.objects.byHandle[handle]
}

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
	keys = private | public
	all  = private | public | certificate
)

var classBits = map[uint64]int{CKO_PRIVATE_KEY: private, CKO_PUBLIC_KEY: public, CKO_CERTIFICATE: certificate}

func always(v bool) func(*object) []byte { return func(*object) []byte { return boolean(v) } }

func nothing(*object) []byte { return nil }

// attributes has a row for each attribute: the classes that have it, and its value. A nil function is an attribute that is never told.
var attributes = map[attributeType]struct {
	classes int
	value   func(*object) []byte
}{
	CKA_CLASS:       {all, func(o *object) []byte { return number(o.class) }},
	CKA_TOKEN:       {all, always(true)},
	CKA_PRIVATE:     {all, always(false)}, // seen without a login
	CKA_MODIFIABLE:  {all, always(false)},
	CKA_COPYABLE:    {all, always(false)},
	CKA_DESTROYABLE: {all, func(o *object) []byte { return boolean(o.class == CKO_PRIVATE_KEY) }},
	CKA_LABEL:       {all, func(o *object) []byte { return []byte(o.key.Label()) }},
	CKA_ID:          {all, func(o *object) []byte { return o.key.ID() }},
	CKA_SUBJECT:     {all, subject},

	CKA_KEY_TYPE:           {keys, func(*object) []byte { return number(CKK_RSA) }},
	CKA_START_DATE:         {all, nothing},
	CKA_END_DATE:           {all, nothing},
	CKA_DERIVE:             {keys, always(false)},
	CKA_LOCAL:              {keys, isHardware},
	CKA_KEY_GEN_MECHANISM:  {keys, generationMechanism},
	CKA_ALLOWED_MECHANISMS: {keys, func(o *object) []byte { return allowedMechanisms(o.key) }},
	CKA_MODULUS:            {keys, func(o *object) []byte { return o.key.Public().N.Bytes() }},
	CKA_PUBLIC_EXPONENT:    {keys, exponent},
	CKA_PUBLIC_KEY_INFO:    {keys, publicKeyInfo},
	CKA_MODULUS_BITS:       {public, func(o *object) []byte { return number(uint64(o.key.Public().N.BitLen())) }},

	CKA_ENCRYPT:        {public, func(o *object) []byte { return boolean(o.key.CanDecrypt()) }},
	CKA_VERIFY:         {public, func(o *object) []byte { return boolean(o.key.CanSign()) }},
	CKA_VERIFY_RECOVER: {public, recovers},
	CKA_WRAP:           {public, always(false)},
	CKA_TRUSTED:        {public | certificate, always(false)},

	CKA_SIGN:                {private, func(o *object) []byte { return boolean(o.key.CanSign()) }},
	CKA_DECRYPT:             {private, func(o *object) []byte { return boolean(o.key.CanDecrypt()) }},
	CKA_SIGN_RECOVER:        {private, recovers},
	CKA_UNWRAP:              {private, always(false)},
	CKA_SENSITIVE:           {private, always(true)},
	CKA_ALWAYS_SENSITIVE:    {private, isHardware},
	CKA_EXTRACTABLE:         {private, always(false)},
	CKA_NEVER_EXTRACTABLE:   {private, isHardware},
	CKA_ALWAYS_AUTHENTICATE: {private, always(false)},
	CKA_WRAP_WITH_TRUSTED:   {private, always(false)},
	CKA_PRIVATE_EXPONENT:    {private, nil},
	CKA_PRIME_1:             {private, nil},
	CKA_PRIME_2:             {private, nil},
	CKA_EXPONENT_1:          {private, nil},
	CKA_EXPONENT_2:          {private, nil},
	CKA_COEFFICIENT:         {private, nil},

	CKA_CERTIFICATE_TYPE:     {certificate, func(*object) []byte { return number(CKC_X_509) }},
	CKA_CERTIFICATE_CATEGORY: {certificate, func(*object) []byte { return number(uint64(0)) }}, // unspecified
	CKA_VALUE:                {certificate, func(o *object) []byte { return o.certificate.Raw }},
	CKA_ISSUER:               {certificate, func(o *object) []byte { return o.certificate.RawIssuer }},
	CKA_SERIAL_NUMBER:        {certificate, serial},
}

// recovers tells whether signatures can give back what was signed.
func recovers(o *object) []byte { return boolean(o.key.CanSign()) }

// publicKey is the key that an object has, or belongs to.
func (o *object) publicKey() *rsa.PublicKey { return o.key.Public() }

// is tells whether an object has an attribute that is true.
func (o *object) is(kind attributeType) bool {
	value, rv := o.attribute(kind)
	return rv == CKR_OK && bytes.Equal(value, boolean(true))
}

// isHardware is what is true only of keys that were made in the TPM and cannot leave it. Others have been, or may get, elsewhere.
func isHardware(o *object) []byte { return boolean(o.key.Origin().Hardware()) }

// generationMechanism is CK_UNAVAILABLE_INFORMATION where CKA_LOCAL is false (4.5).
func generationMechanism(o *object) []byte {
	if !o.key.Origin().Hardware() {
		return number(unavailable)
	}
	return number(CKM_RSA_PKCS_KEY_PAIR_GEN)
}

// subject is the certificate's, also on the keys, by which some hosts match them.
func subject(o *object) []byte {
	if o.certificate == nil {
		return nil
	}
	return o.certificate.RawSubject
}

func exponent(o *object) []byte {
	e := binary.BigEndian.AppendUint32(nil, uint32(o.key.Public().E))
	for e[0] == 0 {
		e = e[1:]
	}
	return e
}

func publicKeyInfo(o *object) []byte {
	der, err := x509.MarshalPKIXPublicKey(o.key.Public())
	if err != nil {
		return nil
	}
	return der
}

// serial is the DER of the certificate's serial number.
func serial(o *object) []byte {
	n := o.certificate.SerialNumber
	b := n.Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return append([]byte{0x02, byte(len(b))}, b...)
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
	return row.value(o), CKR_OK
}

// getAttributeValue is C_GetAttributeValue (5.7): every attribute gets its length, whatever is wrong with another.
func getAttributeValue(s *session, r *request, out *response) CKR {
	o, n := s.object(r.number()), r.number()
	switch {
	case r.bad || n > maxAttributes:
		return CKR_ARGUMENTS_BAD
	case o == nil:
		return CKR_OBJECT_HANDLE_INVALID
	}
	worst := CKR_OK
	for range n {
		kind, to := attributeType(r.number()), r.room()
		value, rv := o.attribute(kind)
		if rv == CKR_OK {
			rv = out.attribute(to, value)
		} else {
			out.number(unavailable).bytes(nil)
		}
		if worst == CKR_OK {
			worst = rv
		}
	}
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	return worst
}

// attribute is fill, except that a value that does not fit has no length either (5.7).
func (r *response) attribute(to room, value []byte) CKR {
	if to.wanted && to.size < uint64(len(value)) {
		r.number(unavailable).bytes(nil)
		return CKR_BUFFER_TOO_SMALL
	}
	return r.fill(to, value)
}

// setAttributeValue is C_SetAttributeValue (5.7): nothing can be changed.
func setAttributeValue(s *session, r *request, _ *response) CKR {
	o, t := s.object(r.number()), r.template()
	switch {
	case r.bad || len(t) == 0:
		return CKR_ARGUMENTS_BAD
	case o == nil:
		return CKR_OBJECT_HANDLE_INVALID
	case !s.readWrite:
		return CKR_SESSION_READ_ONLY
	}
	return CKR_ATTRIBUTE_READ_ONLY
}

func getObjectSize(s *session, r *request, out *response) CKR {
	o := s.object(r.number())
	if o == nil {
		return CKR_OBJECT_HANDLE_INVALID
	}
	out.number(unavailable)
	return CKR_OK
}

// destroyObject is C_DestroyObject (5.7): destroying the private key deletes the key. Its public part and certificate are made of the same files, and
// to delete those for their sake would lose the key.
func destroyObject(s *session, r *request, _ *response) CKR {
	o := s.object(r.number())
	switch {
	case o == nil:
		return CKR_OBJECT_HANDLE_INVALID
	case !s.readWrite:
		return CKR_SESSION_READ_ONLY
	case o.class != CKO_PRIVATE_KEY:
		return CKR_ACTION_PROHIBITED
	}
	keys := s.library.provider()
	if keys == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	err := keys.Delete(o.key)
	s.library.refresh()
	return s.library.returnValue("C_DestroyObject", err)
}
