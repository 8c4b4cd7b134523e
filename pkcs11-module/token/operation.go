package token

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"hash"
	"math/big"

	"tpmkey.example/provider"
)

// A kind of operation; a session has at most one of each under way.
type kind int

const (
	signing kind = iota
	verifying
	encrypting
	decrypting
	digesting
	signRecovering
	verifyRecovering
	kindCount
)

// kinds has a row for each kind: what the mechanism must be for, which object it takes, and which attribute allows it, that no other class has.
var kinds = [kindCount]struct {
	flag    uint64
	class   uint64
	allowed attributeType
}{
	signing:          {CKF_SIGN, CKO_PRIVATE_KEY, CKA_SIGN},
	verifying:        {CKF_VERIFY, CKO_PUBLIC_KEY, CKA_VERIFY},
	encrypting:       {CKF_ENCRYPT, CKO_PUBLIC_KEY, CKA_ENCRYPT},
	decrypting:       {CKF_DECRYPT, CKO_PRIVATE_KEY, CKA_DECRYPT},
	digesting:        {CKF_DIGEST, 0, 0},
	signRecovering:   {CKF_SIGN_RECOVER, CKO_PRIVATE_KEY, CKA_SIGN_RECOVER},
	verifyRecovering: {CKF_VERIFY_RECOVER, CKO_PUBLIC_KEY, CKA_VERIFY_RECOVER},
}

// An operation is what an …Init function began.
type operation struct {
	mechanism *mechanism
	key       *provider.Key // of a private object
	public    *rsa.PublicKey
	hash      crypto.Hash // of PSS and OAEP
	mgf       crypto.Hash // of PSS and OAEP
	salt      int         // of PSS, bytes
	label     []byte      // of OAEP

	digest hash.Hash // over the data, where the mechanism computes one
	data   []byte    // else the data itself
	begun  bool      // …Update was called
	atOnce bool      // all data was given at once, and the host has no result yet
	login  int       // that it began in; a logout ends what needs one
	result []byte    // a plaintext or recovered data that did not fit into the host's room
}

// size is the length of the key's modulus in bytes.
func (o *operation) size() int { return o.public.Size() }

// begin is the part that all …Init functions have in common. Without a mechanism they end the operation (PKCS #11 v3.0, 5.8.1).
func (s *session) begin(k kind, r *request) CKR {
	use, present := r.mechanism()
	handle := uint64(0)
	if k != digesting {
		handle = r.number()
	}
	switch {
	case r.bad || !present && s.running(k) == nil:
		return CKR_ARGUMENTS_BAD
	case !present:
		s.cancel(k)
		return CKR_OK
	case s.running(k) != nil:
		return CKR_OPERATION_ACTIVE
	}
	o, rv := s.operation(k, use, handle)
	if rv == CKR_OK {
		s.operations[k] = o
	}
	return rv
}

func (s *session) operation(k kind, use mechanismUse, handle uint64) (*operation, CKR) {
	m := mechanismOf(use.kind)
	if m == nil || m.flags&kinds[k].flag == 0 {
		return nil, CKR_MECHANISM_INVALID
	}
	o := &operation{mechanism: m}
	if rv := o.takeKey(s, k, handle); rv != CKR_OK {
		return nil, rv
	}
	return o, o.take(use)
}

// takeKey finds the key behind an object handle, if it may do what is asked of it.
func (o *operation) takeKey(s *session, k kind, handle uint64) CKR {
	if k == digesting {
		return CKR_OK
	}
	found := s.object(handle)
	switch {
	case found == nil || !found.isKey():
		return CKR_KEY_HANDLE_INVALID
	case !found.is(kinds[k].allowed): // keys of the other class have no such attribute
		return CKR_KEY_FUNCTION_NOT_PERMITTED
	case !found.allows(o.mechanism.kind):
		return CKR_MECHANISM_INVALID
	}
	o.key, o.public = found.key, found.public
	if found.class != CKO_PRIVATE_KEY {
		return CKR_OK
	}
	o.login = s.token.loginNumber()
	return s.library.returnValue("C_Login", found.givePIN())
}

// take reads the mechanism's parameter.
func (o *operation) take(use mechanismUse) (rv CKR) {
	if o.mechanism.hash != 0 {
		o.digest = o.mechanism.hash.New()
	}
	switch o.mechanism.padding {
	case pss:
		o.hash, o.mgf, o.salt, rv = use.pssOf(o.mechanism)
		if rv == CKR_OK && o.salt > (o.public.N.BitLen()+6)/8-o.hash.Size()-2 {
			rv = CKR_MECHANISM_PARAM_INVALID // no room for that much
		}
		return rv
	case oaep:
		o.hash, o.mgf, o.label, rv = use.oaepOf()
		o.label = bytes.Clone(o.label)
		return rv
	}
	if len(use.parameters) > 0 {
		return CKR_MECHANISM_PARAM_INVALID
	}
	return CKR_OK
}

// running gives the operation that is under way, unless a logout has ended it.
func (s *session) running(k kind) *operation {
	o := s.operations[k]
	if o != nil && o.key != nil && kinds[k].class == CKO_PRIVATE_KEY && s.token.classic != nil && o.login != s.token.loginNumber() {
		s.cancel(k)
		return nil
	}
	return o
}

func (t *token) loginNumber() int {
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	return t.logins
}

// cancel ends an operation, whatever it had.
func (s *session) cancel(k kind) {
	if o := s.operations[k]; o != nil {
		clear(o.result)
		clear(o.data)
	}
	s.operations[k] = nil
}

// mostData is more than the data of any operation without a digest, whatever the size of its key.
const mostData = maxBits/8 + 1

// add takes a part of the data. Without a digest no more than a modulus can be of use, but the error is for the end, when the operation ends too.
func (o *operation) add(part []byte) {
	if o.digest != nil {
		o.digest.Write(part)
		return
	}
	o.data = append(o.data, part[:min(len(part), mostData-len(o.data))]...)
}

// input is the digest of what was added, or that itself.
func (o *operation) input() []byte {
	if o.digest != nil {
		return o.digest.Sum(nil)
	}
	return o.data
}

// padded is the data of CKM_RSA_X_509 as one number of the modulus' length (2.1.4).
func (o *operation) padded(data []byte) ([]byte, CKR) {
	if len(data) > o.size() {
		return nil, CKR_DATA_LEN_RANGE
	}
	n := new(big.Int).SetBytes(data)
	if n.Cmp(o.public.N) >= 0 {
		return nil, CKR_DATA_INVALID
	}
	return n.FillBytes(make([]byte, o.size())), CKR_OK
}

// publicOperation is RSAEP and RSAVP1 (RFC 8017, 5.1.1 and 5.2.2), into as many bytes as the modulus has.
func (o *operation) publicOperation(in []byte) []byte {
	n := new(big.Int).Exp(new(big.Int).SetBytes(in), big.NewInt(int64(o.public.E)), o.public.N)
	return n.FillBytes(make([]byte, o.size()))
}

// update takes a part of the data of the operation that is under way.
func (s *session) update(k kind, r *request) CKR {
	part := r.bytes()
	o, rv := s.partly(k, r)
	if rv == CKR_OK {
		o.begun = true
		o.add(part)
	}
	return rv
}

// updateWithoutOutput is update for operations that answer nothing before the end, and have room for it. A host that asks for the size gives the part again
// (5.2).
func (s *session) updateWithoutOutput(k kind, r *request, out *response) CKR {
	part, to := r.bytes(), r.room()
	o, rv := s.partly(k, r)
	if rv != CKR_OK {
		return rv
	}
	if to.wanted {
		o.begun = true
		o.add(part)
	}
	return out.fill(to, nil)
}

// partly is the operation of a function that takes a part of the data.
func (s *session) partly(k kind, r *request) (*operation, CKR) {
	o := s.running(k)
	switch {
	case o == nil:
		return nil, CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		s.cancel(k)
		return nil, CKR_ARGUMENTS_BAD
	case o.atOnce:
		s.cancel(k)
		return nil, CKR_OPERATION_ACTIVE
	}
	return o, CKR_OK
}

// whole is the operation of a function that takes all data at once. It is not for one in several parts, which goes on (5.8 to 5.13).
func (s *session) whole(k kind, r *request) (*operation, CKR) {
	o := s.running(k)
	switch {
	case o == nil:
		return nil, CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		s.cancel(k)
		return nil, CKR_ARGUMENTS_BAD
	case o.begun:
		return nil, CKR_OPERATION_ACTIVE
	}
	o.atOnce = true
	return o, CKR_OK
}

// final is the operation of a …Final function, whose failure ends it.
func (s *session) final(k kind, r *request) (*operation, CKR) {
	o := s.running(k)
	switch {
	case o == nil:
		return nil, CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		s.cancel(k)
		return nil, CKR_ARGUMENTS_BAD
	case o.atOnce:
		s.cancel(k)
		return nil, CKR_OPERATION_ACTIVE
	}
	return o, CKR_OK
}

// finish answers what an operation makes. It ends the operation, unless the host only asks for the size, which is known before, or has too little room
// for the answer (PKCS #11 v2.40, 5.2).
func (s *session) finish(k kind, size int, to room, out *response, what string, result func() ([]byte, error)) CKR {
	if !to.wanted || to.size < uint64(size) {
		return out.fill(to, make([]byte, size))
	}
	o := s.operations[k]
	defer s.cancel(k)
	b, err := result()
	if err != nil {
		return s.library.returnValue(what, o.blameLogin(s.token, err))
	}
	return out.fill(to, b)
}

// finishUnknown is finish where only the result tells its size: a host that asks hears the most there can be, and one whose room turns out to be too
// small gets the same result at its next try.
func (s *session) finishUnknown(k kind, to room, out *response, what string, result func() ([]byte, error)) CKR {
	o := s.operations[k]
	if !to.wanted && o.result == nil {
		return out.fill(to, make([]byte, o.size()))
	}
	if o.result == nil {
		b, err := result()
		if err != nil {
			s.cancel(k)
			return s.library.returnValue(what, o.blameLogin(s.token, err))
		}
		o.result = append([]byte{}, b...)
		clear(b)
	}
	rv := out.fill(to, o.result)
	if to.wanted && rv == CKR_OK {
		s.cancel(k)
	}
	return rv
}
