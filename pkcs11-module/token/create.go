package token

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"

	"tpmkey.example/provider"
)

// createObject is C_CreateObject (5.7).
func createObject(s *session, r *request, out *response) CKR {
	t := r.template()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	class, ok := t.get(CKA_CLASS)
	switch {
	case !ok:
		return CKR_TEMPLATE_INCOMPLETE
	case !isNumber(class) || classes[binary.NativeEndian.Uint64(class)].create == nil:
		return CKR_ATTRIBUTE_VALUE_INVALID
	}
	o := &object{token: s.token, class: binary.NativeEndian.Uint64(class)}
	if rv := t.check(o.class, creating); rv != CKR_OK {
		return rv
	}
	if rv := t.has(classes[o.class].needs...); rv != CKR_OK {
		return rv
	}
	if rv := s.place(o, t); rv != CKR_OK {
		return rv
	}
	if err := classes[o.class].create(o, t); err != nil {
		return s.library.returnValue("C_CreateObject", err)
	}
	out.number(s.token.show(o))
	return CKR_OK
}

// classes has a row for each class that objects can be created of: what a template must have, and what makes the object.
var classes = map[uint64]struct {
	needs  []attributeType
	create func(*object, template) error
}{
	CKO_DATA:        {nil, createStored},
	CKO_CERTIFICATE: {[]attributeType{CKA_CERTIFICATE_TYPE, CKA_SUBJECT, CKA_VALUE}, createCertificate},
	CKO_PUBLIC_KEY:  {[]attributeType{CKA_KEY_TYPE, CKA_MODULUS, CKA_PUBLIC_EXPONENT}, createPublicKey},
	CKO_PRIVATE_KEY: {[]attributeType{CKA_KEY_TYPE, CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2}, createPrivateKey},
}

// place decides where a new object belongs, and whether the session may put it there (PKCS #11 v2.40, table 6).
func (s *session) place(o *object, t template) CKR {
	onToken := t.flag(CKA_TOKEN, false)
	if !onToken {
		o.owner = s
	}
	if rv := s.mayWrite(onToken); rv != CKR_OK {
		return rv
	}
	if onToken && s.token.isFree() {
		return CKR_TOKEN_WRITE_PROTECTED // until it is initialised
	}
	s.library.mu.Lock()
	defer s.library.mu.Unlock()
	if classic := s.token.classic != nil; classic && s.token.user != user && t.flag(CKA_PRIVATE, o.class == CKO_PRIVATE_KEY) {
		return CKR_USER_NOT_LOGGED_IN
	} else if o.class == CKO_PRIVATE_KEY && classic && !t.flag(CKA_PRIVATE, true) {
		return CKR_TEMPLATE_INCONSISTENT // its use needs the login
	}
	return CKR_OK
}

// show adds a new object, and gives its handle.
func (t *token) show(o *object) uint64 {
	if o.owner == nil {
		t.refresh()
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	if o.owner == nil {
		return t.objects.handles[o.identity()]
	}
	return t.add(o)
}

// createStored makes an object of nothing but its own values.
func createStored(o *object, t template) error {
	o.give(t)
	if o.own == nil {
		o.own = map[attributeType][]byte{}
	}
	if rv := o.complete(); rv != CKR_OK {
		return rv
	}
	if o.owner != nil {
		return nil
	}
	if o.token.classic != nil && o.is(CKA_PRIVATE) {
		return CKR_FUNCTION_NOT_SUPPORTED // anybody who reads the file would have it
	}
	o.path = o.token.newPath()
	return writeStored(o)
}

// createPublicKey makes one for use in software.
func createPublicKey(o *object, t template) error {
	o.own = map[attributeType][]byte{}
	for _, kind := range []attributeType{CKA_MODULUS, CKA_PUBLIC_EXPONENT} {
		value, _ := t.get(kind)
		o.own[kind] = bytes.Clone(bytes.TrimLeft(value, "\x00"))
	}
	if rv := o.complete(); rv != CKR_OK {
		return rv
	}
	if info, ok := t.get(CKA_PUBLIC_KEY_INFO); ok && !bytes.Equal(info, publicKeyInfo(o)) {
		return CKR_TEMPLATE_INCONSISTENT
	}
	return createStored(o, t)
}

// createCertificate puts a certificate beside the key that it is of, if there is one without.
func createCertificate(o *object, t template) error {
	value, _ := t.get(CKA_VALUE)
	if check, _ := t.get(CKA_CHECK_VALUE); len(check) > 0 && !bytes.Equal(check, checkValueOf(value)) {
		return CKR_ATTRIBUTE_VALUE_INVALID
	}
	if o.owner != nil || o.is(CKA_PRIVATE) {
		return createStored(o, t)
	}
	o.own = map[attributeType][]byte{CKA_VALUE: bytes.Clone(value)}
	o.complete()
	k := o.token.keyOf(o)
	if k == nil {
		o.own, o.certificate = nil, nil
		return createStored(o, t)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: value})
	if err := o.token.keys.AttachCertificate(k, text, true); err != nil {
		return err
	}
	o.key, o.public, o.own = k, k.Public(), nil
	o.give(t)
	if len(o.own) == 0 {
		return nil
	}
	return o.token.save(o)
}

// keyOf finds the key that a certificate is of, unless that has one already.
func (t *token) keyOf(o *object) *provider.Key {
	if o.certificate == nil {
		return nil
	}
	public, _ := o.certificate.PublicKey.(*rsa.PublicKey)
	t.refresh()
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	for _, other := range t.objects.byHandle {
		if other.class == CKO_PRIVATE_KEY && other.owner == nil && equal(other.public, public) && !t.keys.HasCertificate(other.key) {
			return other.key
		}
	}
	return nil
}

// createPrivateKey imports a key, where the device's filter lets it be.
func createPrivateKey(o *object, t template) error {
	private, rv := privateKey(t)
	if rv != CKR_OK {
		return rv
	}
	auth, err := o.token.auth()
	if err != nil {
		return err
	}
	defer clear(auth)
	k, err := o.token.keys.TakeIn(private, provider.Template{PIN: auth})
	if errors.Is(err, provider.ErrImport) {
		o.token.library.log(err.Error())
		return CKR_ATTRIBUTE_VALUE_INVALID
	}
	if err != nil {
		return err
	}
	o.setKey(k, t)
	if o.owner != nil {
		return nil
	}
	o.key, err = o.token.keep(o.key, o.note())
	return err
}

// setKey makes an object one of a key that has no file yet.
func (o *object) setKey(k *provider.Key, t template) {
	o.key, o.public = k, k.Public()
	o.give(t)
}

// privateKey reads a whole key. Its other parts follow from these.
func privateKey(t template) (*rsa.PrivateKey, CKR) {
	integer := func(kind attributeType) *big.Int {
		value, _ := t.get(kind)
		return new(big.Int).SetBytes(value)
	}
	e := integer(CKA_PUBLIC_EXPONENT)
	if !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, CKR_ATTRIBUTE_VALUE_INVALID
	}
	k := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: integer(CKA_MODULUS), E: int(e.Int64())},
		D:         integer(CKA_PRIVATE_EXPONENT),
		Primes:    []*big.Int{integer(CKA_PRIME_1), integer(CKA_PRIME_2)},
	}
	return k, CKR_OK
}

// keep gives a key a file that is named after the label, if that is free and legal, else after the id, else somehow.
func (t *token) keep(k *provider.Key, note provider.Note) (kept *provider.Key, err error) {
	somehow := make([]byte, 8)
	rand.Read(somehow)
	for _, name := range []string{note.Label, hex.EncodeToString(note.ID), hex.EncodeToString(somehow)} {
		kept, err = t.keys.Keep(k, name, note)
		if !errors.Is(err, provider.ErrExists) && !errors.Is(err, provider.ErrName) || provider.CheckNewName(name) == nil && errors.Is(err, provider.ErrName) {
			break
		}
	}
	return kept, err
}
