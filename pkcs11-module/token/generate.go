package token

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
)

// keySizes are the sizes of RSA keys that a TPM may have.
var keySizes = []uint64{2048, 3072, 4096}

// generateKeyPair is C_GenerateKeyPair (5.14). What is on the token is one file; what is not lives as long as the session.
func generateKeyPair(s *session, r *request, out *response) CKR {
	use, public, private := r.neededMechanism(), r.template(), r.template()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case use.kind != CKM_RSA_PKCS_KEY_PAIR_GEN:
		return CKR_MECHANISM_INVALID
	case len(use.parameters) > 0:
		return CKR_MECHANISM_PARAM_INVALID
	}
	if _, ok := public.get(CKA_TOKEN); !ok { // the parts stay together
		public = append(public, attribute{CKA_TOKEN, boolean(private.flag(CKA_TOKEN, false))})
	}
	p := &pair{public: &object{token: s.token, class: CKO_PUBLIC_KEY}, private: &object{token: s.token, class: CKO_PRIVATE_KEY}}
	if rv := p.check(s, public, private); rv != CKR_OK {
		return rv
	}
	t, rv := keyTemplate(public)
	if rv != CKR_OK {
		return rv
	}
	err := p.make(t, shared(public, private), shared(private, public))
	if errors.Is(err, provider.ErrSize) || errors.Is(err, tpm2.TPMRCKeySize) {
		return CKR_KEY_SIZE_RANGE // of the sizes above, this chip does not have all
	}
	if err != nil {
		return s.library.returnValue("C_GenerateKeyPair", err)
	}
	out.number(s.token.show(p.public)).number(s.token.show(p.private))
	return CKR_OK
}

// A pair is what is to be made: both parts on the token, or none, or one of them.
type pair struct{ public, private *object }

func (p *pair) check(s *session, public, private template) CKR {
	for _, part := range []struct {
		o *object
		t template
	}{{p.public, public}, {p.private, private}} {
		if rv := part.t.check(part.o.class, generating); rv != CKR_OK {
			return rv
		}
		if rv := s.place(part.o, part.t); rv != CKR_OK {
			return rv
		}
	}
	return CKR_OK
}

// shared gives a template the label and the id of the other one where it has none of its own: hosts look for the parts by the same.
func shared(t, other template) template {
	for _, kind := range []attributeType{CKA_LABEL, CKA_ID} {
		_, has := t.get(kind)
		if value, ok := other.get(kind); ok && !has {
			t = append(t, attribute{kind, value})
		}
	}
	return t
}

// keyTemplate makes of the public template what the provider is asked for.
func keyTemplate(public template) (t provider.Template, rv CKR) {
	bits, ok := public.get(CKA_MODULUS_BITS)
	if !ok {
		return t, CKR_TEMPLATE_INCOMPLETE
	}
	if exponent, ok := public.get(CKA_PUBLIC_EXPONENT); ok {
		e := new(big.Int).SetBytes(exponent)
		if !e.IsInt64() || e.Int64() > math.MaxInt32 {
			return t, CKR_ATTRIBUTE_VALUE_INVALID
		}
		t.Exponent = int(e.Int64())
	}
	size := binary.NativeEndian.Uint64(bits)
	if !slices.Contains(keySizes, size) {
		return t, CKR_KEY_SIZE_RANGE
	}
	t.Bits = int(size)
	return t, CKR_OK
}

// make makes the key, and its file if it is for the token.
func (p *pair) make(t provider.Template, public, private template) (err error) {
	token := p.private.token
	if t.PIN, err = token.auth(); err != nil {
		return err
	}
	defer clear(t.PIN)
	if p.private.owner == nil {
		if err := token.keys.MayKeep("key"); err != nil && !errors.Is(err, provider.ErrExists) {
			return err // before seconds of key generation
		}
	}
	k, err := token.keys.Make(t)
	if err != nil {
		return err
	}
	p.private.setKey(k, private)
	p.public.setKey(k, public)
	switch {
	case p.private.owner == nil:
		return p.keep(k, public)
	case p.public.owner == nil: // the public part alone stays
		p.public.key, p.public.own = nil, nil
		return createPublicKey(p.public, append(public, attribute{CKA_MODULUS, k.Public().N.Bytes()}, attribute{CKA_PUBLIC_EXPONENT, exponent(p.public)}))
	}
	return nil
}

// keep gives the key its file.
func (p *pair) keep(k *provider.Key, public template) error {
	note := p.private.note()
	kept, err := p.private.token.keep(k, note)
	if err != nil {
		return err
	}
	p.private.key = kept
	if p.public.owner != nil {
		return nil // the file has its public part all the same
	}
	p.public.key, p.public.own = kept, nil
	p.public.give(public)
	if len(p.public.own) == 0 {
		return nil
	}
	return p.public.token.save(p.public)
}
