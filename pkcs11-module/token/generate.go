package token

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
)

// settable has a row for each attribute that a template of C_GenerateKeyPair may have, and the values that it may have there. What a key is used for is
// a wish: our keys sign and decrypt, and their attributes say so.
var settable = map[attributeType]func([]byte) bool{
	CKA_LABEL:        any,
	CKA_ID:           any,
	CKA_MODULUS_BITS: ofSize(8),

	CKA_CLASS:           any, // compared with the template's own
	CKA_KEY_TYPE:        is(number(CKK_RSA)),
	CKA_PUBLIC_EXPONENT: isExponent,
	CKA_TOKEN:           ofSize(1),
	CKA_PRIVATE:         ofSize(1),
	CKA_MODIFIABLE:      ofSize(1),
	CKA_COPYABLE:        ofSize(1),
	CKA_DESTROYABLE:     ofSize(1),
	CKA_SUBJECT:         any,
	CKA_START_DATE:      ofSize(0),
	CKA_END_DATE:        ofSize(0),

	CKA_SIGN:           ofSize(1),
	CKA_SIGN_RECOVER:   ofSize(1),
	CKA_VERIFY:         ofSize(1),
	CKA_VERIFY_RECOVER: ofSize(1),
	CKA_ENCRYPT:        ofSize(1),
	CKA_DECRYPT:        ofSize(1),
	CKA_WRAP:           ofSize(1),
	CKA_UNWRAP:         ofSize(1),
	CKA_DERIVE:         ofSize(1),

	CKA_SENSITIVE:           is(boolean(true)),
	CKA_EXTRACTABLE:         is(boolean(false)),
	CKA_ALWAYS_AUTHENTICATE: is(boolean(false)),
	CKA_WRAP_WITH_TRUSTED:   is(boolean(false)),
	CKA_TRUSTED:             is(boolean(false)),
}

func any([]byte) bool { return true }

func is(want []byte) func([]byte) bool {
	return func(value []byte) bool { return bytes.Equal(value, want) }
}

func ofSize(n int) func([]byte) bool {
	return func(value []byte) bool { return len(value) == n }
}

// isExponent tells whether a big-endian number is 65537, the only exponent that every TPM has.
func isExponent(value []byte) bool {
	return bytes.Equal(bytes.TrimLeft(value, "\x00"), []byte{1, 0, 1})
}

// check tells whether a key of this class can be made so.
func (t template) check(class uint64) CKR {
	for _, a := range t {
		fits, ok := settable[a.kind]
		_, known := attributes[a.kind]
		switch {
		case !ok && known:
			return CKR_ATTRIBUTE_READ_ONLY
		case !ok:
			return CKR_ATTRIBUTE_TYPE_INVALID
		case !fits(a.value):
			return CKR_TEMPLATE_INCONSISTENT
		case a.kind == CKA_CLASS && !bytes.Equal(a.value, number(class)):
			return CKR_TEMPLATE_INCONSISTENT
		}
	}
	return CKR_OK
}

// either is an attribute that the public and the private part share, from the template that has it.
func either(kind attributeType, public, private template) ([]byte, CKR) {
	inPublic, hasPublic := public.get(kind)
	inPrivate, hasPrivate := private.get(kind)
	switch {
	case hasPublic && hasPrivate && !bytes.Equal(inPublic, inPrivate):
		return nil, CKR_TEMPLATE_INCONSISTENT
	case hasPrivate:
		return inPrivate, CKR_OK
	}
	return inPublic, CKR_OK
}

// keyTemplate makes of the two templates what the provider is asked for.
func keyTemplate(public, private template) (provider.Template, CKR) {
	for class, t := range map[uint64]template{CKO_PUBLIC_KEY: public, CKO_PRIVATE_KEY: private} {
		if rv := t.check(class); rv != CKR_OK {
			return provider.Template{}, rv
		}
	}
	if onToken, _ := private.get(CKA_TOKEN); !bytes.Equal(onToken, boolean(true)) {
		return provider.Template{}, CKR_TEMPLATE_INCONSISTENT // there are no session keys
	}
	bits, ok := public.get(CKA_MODULUS_BITS)
	if !ok {
		return provider.Template{}, CKR_TEMPLATE_INCOMPLETE
	}
	label, rv := either(CKA_LABEL, public, private)
	if rv != CKR_OK {
		return provider.Template{}, rv
	}
	id, rv := either(CKA_ID, public, private)
	t := provider.Template{Label: string(label), ID: id}
	if size := binary.NativeEndian.Uint64(bits); slices.Contains(keySizes, size) {
		t.Bits = int(size)
		return t, rv
	}
	return t, CKR_KEY_SIZE_RANGE
}

// keySizes are the sizes of RSA keys that a TPM may have.
var keySizes = []uint64{2048, 3072, 4096}

// generateKeyPair is C_GenerateKeyPair (5.14).
func generateKeyPair(s *session, r *request, out *response) CKR {
	use, public, private := r.neededMechanism(), r.template(), r.template()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case use.kind != CKM_RSA_PKCS_KEY_PAIR_GEN:
		return CKR_MECHANISM_INVALID
	case len(use.parameters) > 0:
		return CKR_MECHANISM_PARAM_INVALID
	case !s.readWrite:
		return CKR_SESSION_READ_ONLY
	}
	t, rv := keyTemplate(public, private)
	if rv != CKR_OK {
		return rv
	}
	k, err := s.library.create(t)
	if errors.Is(err, tpm2.TPMRCValue) || errors.Is(err, tpm2.TPMRCKeySize) {
		return CKR_KEY_SIZE_RANGE // of the sizes above, this chip does not have all
	}
	if err != nil {
		return s.library.returnValue("C_GenerateKeyPair", err)
	}
	s.library.refresh()
	s.library.mu.Lock()
	defer s.library.mu.Unlock()
	handles := s.library.objects.handles
	out.number(handles[identity(CKO_PUBLIC_KEY, k)]).number(handles[identity(CKO_PRIVATE_KEY, k)])
	return CKR_OK
}

// create makes a key in a file that is named after the label, if that is free and legal, else after the id.
func (l *Library) create(t provider.Template) (*provider.Key, error) {
	keys := l.provider()
	if keys == nil {
		return nil, CKR_CRYPTOKI_NOT_INITIALIZED
	}
	k, err := keys.Create(t.Label, t)
	if !errors.Is(err, provider.ErrExists) && !errors.Is(err, provider.ErrName) {
		return k, err
	}
	if len(t.ID) == 0 {
		t.ID = make([]byte, 20)
		rand.Read(t.ID)
	}
	return keys.Create(hex.EncodeToString(t.ID), t)
}
