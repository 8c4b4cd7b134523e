package token

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"crypto"
	"crypto/rand"
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
	kindCount
)

// kinds has a row for each kind: what the mechanism must be for, which object it takes, and which keys may do it.
var kinds = [kindCount]struct {
	flag  uint64
	class uint64
	may   func(*provider.Key) bool
}{
	signing:    {CKF_SIGN, CKO_PRIVATE_KEY, (*provider.Key).CanSign},
	verifying:  {CKF_VERIFY, CKO_PUBLIC_KEY, (*provider.Key).CanSign},
	encrypting: {CKF_ENCRYPT, CKO_PUBLIC_KEY, (*provider.Key).CanDecrypt},
	decrypting: {CKF_DECRYPT, CKO_PRIVATE_KEY, (*provider.Key).CanDecrypt},
	digesting:  {CKF_DIGEST, 0, nil},
}

// An operation is what an …Init function began.
type operation struct {
	mechanism *mechanism
	key       *provider.Key
	hash      crypto.Hash // of PSS and OAEP
	mgf       crypto.Hash // of OAEP
	salt      int         // of PSS, bytes
	label     []byte      // of OAEP

	digest hash.Hash // over the data, where the mechanism computes one
	data   []byte    // else the data itself
	begun  bool      // …Update was called
	result []byte    // a plaintext that did not fit into the host's room
}

// size is the length of the key's modulus in bytes.
func (o *operation) size() int { return o.key.Public().Size() }

// begin is the part that all …Init functions have in common.
func (s *session) begin(k kind, r *request) CKR {
	use, handle := r.mechanism(), uint64(0)
	if k != digesting {
		handle = r.number()
	}
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	if s.operations[k] != nil {
		return CKR_OPERATION_ACTIVE
	}
	m := mechanismOf(use.kind)
	if m == nil || m.flags&kinds[k].flag == 0 {
		return CKR_MECHANISM_INVALID
	}
	key, rv := s.keyFor(k, handle)
	if rv != CKR_OK {
		return rv
	}
	o := &operation{mechanism: m, key: key}
	if rv := o.take(use); rv != CKR_OK {
		return rv
	}
	s.operations[k] = o
	return CKR_OK
}

// keyFor gives the key behind an object handle, if it may do what is asked of it.
func (s *session) keyFor(k kind, handle uint64) (*provider.Key, CKR) {
	if k == digesting {
		return nil, CKR_OK
	}
	o := s.object(handle)
	switch {
	case o == nil:
		return nil, CKR_KEY_HANDLE_INVALID
	case o.class != kinds[k].class:
		return nil, CKR_KEY_TYPE_INCONSISTENT
	case !kinds[k].may(o.key):
		return nil, CKR_KEY_FUNCTION_NOT_PERMITTED
	}
	return o.key, CKR_OK
}

// take reads the mechanism's parameter.
func (o *operation) take(use mechanismUse) (rv CKR) {
	if o.mechanism.hash != 0 {
		o.digest = o.mechanism.hash.New()
	}
	switch o.mechanism.padding {
	case pss:
		o.hash, o.salt, rv = use.pssOf(o.mechanism)
		return rv
	case oaep:
		o.hash, o.mgf, o.label, rv = use.oaepOf()
		return rv
	}
	if len(use.parameters) > 0 {
		return CKR_MECHANISM_PARAM_INVALID
	}
	return CKR_OK
}

// add takes a part of the data. Without a digest no more than a modulus can be of use, but the error is for the end, when the operation ends too.
func (o *operation) add(part []byte) {
	if o.digest != nil {
		o.digest.Write(part)
		return
	}
	o.data = append(o.data, part[:min(len(part), maxBits/8+1-len(o.data))]...)
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
	if n.Cmp(o.key.Public().N) >= 0 {
		return nil, CKR_DATA_INVALID
	}
	return n.FillBytes(make([]byte, o.size())), CKR_OK
}

// update takes a part of the data of the operation that is under way.
func (s *session) update(k kind, r *request) CKR {
	part, o := r.bytes(), s.operations[k]
	switch {
	case o == nil:
		return CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		s.operations[k] = nil
		return CKR_ARGUMENTS_BAD
	}
	o.begun = true
	o.add(part)
	return CKR_OK
}

// finish answers what an operation makes. It ends the operation, unless the host only asks for the size, which is known before, or has too little room
// for the answer (PKCS #11 v2.40, 5.2).
func (s *session) finish(k kind, size int, to room, out *response, what string, result func() ([]byte, error)) CKR {
	if !to.wanted || to.size < uint64(size) {
		return out.fill(to, make([]byte, size))
	}
	s.operations[k] = nil
	b, err := result()
	if err != nil {
		return s.library.returnValue(what, err)
	}
	return out.fill(to, b)
}

// whole is the operation of a function that takes all data at once, which cannot follow an update of it (5.11).
func (s *session) whole(k kind, r *request) (*operation, CKR) {
	o := s.operations[k]
	switch {
	case o == nil || o.begun:
		return nil, CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		s.operations[k] = nil
		return nil, CKR_ARGUMENTS_BAD
	}
	return o, CKR_OK
}

func signInit(s *session, r *request, _ *response) CKR { return s.begin(signing, r) }

// sign is C_Sign (5.11).
func sign(s *session, r *request, out *response) CKR {
	data, to := r.bytes(), r.room()
	o, rv := s.whole(signing, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(signing, o.size(), to, out, "C_Sign", func() ([]byte, error) {
		o.add(data)
		return o.sign()
	})
}

func signUpdate(s *session, r *request, _ *response) CKR { return s.update(signing, r) }

func signFinal(s *session, r *request, out *response) CKR {
	to, o := r.room(), s.operations[signing]
	switch {
	case o == nil:
		return CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		return CKR_ARGUMENTS_BAD
	}
	return s.finish(signing, o.size(), to, out, "C_SignFinal", o.sign)
}

// sign has the TPM sign what was added.
func (o *operation) sign() ([]byte, error) {
	data := o.input()
	switch o.mechanism.padding {
	case pkcs1:
		if o.mechanism.hash == 0 && len(data) > o.size()-11 {
			return nil, CKR_DATA_LEN_RANGE
		}
		return o.key.SignPKCS1v15(o.mechanism.hash, data)
	case pss:
		if len(data) != o.hash.Size() {
			return nil, CKR_DATA_LEN_RANGE
		}
		return o.key.SignPSS(o.hash, data, o.salt)
	}
	number, rv := o.padded(data)
	if rv != CKR_OK {
		return nil, rv
	}
	return o.key.RawRSA(number)
}

// verifyInit is C_VerifyInit. Go takes a salt of no bytes for one of any length, and to accept what should be refused is worse than to refuse.
func verifyInit(s *session, r *request, _ *response) CKR {
	rv := s.begin(verifying, r)
	if o := s.operations[verifying]; rv == CKR_OK && o.mechanism.padding == pss && o.salt == 0 {
		s.operations[verifying] = nil
		return CKR_MECHANISM_PARAM_INVALID
	}
	return rv
}

// verify is C_Verify (5.13), in software: the public key is no secret, and the TPM is slow.
func verify(s *session, r *request, _ *response) CKR {
	data, signature := r.bytes(), r.bytes()
	o, rv := s.whole(verifying, r)
	if rv != CKR_OK {
		return rv
	}
	s.operations[verifying] = nil
	o.add(data)
	return o.verify(signature)
}

func verifyUpdate(s *session, r *request, _ *response) CKR { return s.update(verifying, r) }

func verifyFinal(s *session, r *request, _ *response) CKR {
	signature, o := r.bytes(), s.operations[verifying]
	if o == nil {
		return CKR_OPERATION_NOT_INITIALIZED
	}
	s.operations[verifying] = nil
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	return o.verify(signature)
}

func (o *operation) verify(signature []byte) CKR {
	if len(signature) != o.size() {
		return CKR_SIGNATURE_LEN_RANGE
	}
	data := o.input()
	if o.mechanism.padding == pss && len(data) != o.hash.Size() {
		return CKR_DATA_LEN_RANGE
	}
	if !o.matches(data, signature) {
		return CKR_SIGNATURE_INVALID
	}
	return CKR_OK
}

func (o *operation) matches(data, signature []byte) bool {
	switch o.mechanism.padding {
	case pkcs1:
		return rsa.VerifyPKCS1v15(o.key.Public(), o.mechanism.hash, data, signature) == nil
	case pss:
		return rsa.VerifyPSS(o.key.Public(), o.hash, data, signature, &rsa.PSSOptions{SaltLength: o.salt}) == nil
	}
	number, rv := o.padded(data)
	return rv == CKR_OK && new(big.Int).SetBytes(number).Cmp(o.public(signature)) == 0
}

// public is the public operation (RFC 8017, 5.1.1).
func (o *operation) public(in []byte) *big.Int {
	k := o.key.Public()
	return new(big.Int).Exp(new(big.Int).SetBytes(in), big.NewInt(int64(k.E)), k.N)
}

func encryptInit(s *session, r *request, _ *response) CKR { return s.begin(encrypting, r) }

// encrypt is C_Encrypt (5.8), in software.
func encrypt(s *session, r *request, out *response) CKR {
	data, to := r.bytes(), r.room()
	o, rv := s.whole(encrypting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(encrypting, o.size(), to, out, "C_Encrypt", func() ([]byte, error) { return o.encrypt(data) })
}

func (o *operation) encrypt(data []byte) ([]byte, error) {
	switch o.mechanism.padding {
	case pkcs1:
		return rsa.EncryptPKCS1v15(rand.Reader, o.key.Public(), data)
	case oaep:
		return rsa.EncryptOAEPWithOptions(rand.Reader, o.key.Public(), data, &rsa.OAEPOptions{Hash: o.hash, MGFHash: o.mgf, Label: o.label})
	}
	number, rv := o.padded(data)
	if rv != CKR_OK {
		return nil, rv
	}
	return o.public(number).FillBytes(make([]byte, o.size())), nil
}

func decryptInit(s *session, r *request, _ *response) CKR { return s.begin(decrypting, r) }

// decrypt is C_Decrypt (5.9). How long the plaintext is shows only afterwards: a host that asks hears the most there can be, and one whose room turns
// out to be too small gets the same plaintext at its next try.
func decrypt(s *session, r *request, out *response) CKR {
	ciphertext, to := r.bytes(), r.room()
	o, rv := s.whole(decrypting, r)
	switch {
	case rv != CKR_OK:
		return rv
	case !to.wanted && o.result == nil:
		return out.fill(to, make([]byte, o.size()))
	}
	if o.result == nil {
		plaintext, err := o.decrypt(ciphertext)
		if err != nil {
			s.operations[decrypting] = nil
			return s.library.returnValue("C_Decrypt", err)
		}
		o.result = append([]byte{}, plaintext...)
	}
	rv = out.fill(to, o.result)
	if to.wanted && rv == CKR_OK {
		clear(o.result)
		s.operations[decrypting] = nil
	}
	return rv
}

func (o *operation) decrypt(ciphertext []byte) ([]byte, error) {
	if len(ciphertext) != o.size() {
		return nil, CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	switch o.mechanism.padding {
	case pkcs1:
		return o.key.DecryptPKCS1v15(ciphertext)
	case oaep:
		return o.key.DecryptOAEP(o.hash, o.mgf, o.label, ciphertext)
	}
	if _, rv := o.padded(ciphertext); rv != CKR_OK {
		return nil, CKR_ENCRYPTED_DATA_INVALID
	}
	return o.key.RawRSA(ciphertext)
}

func digestInit(s *session, r *request, _ *response) CKR { return s.begin(digesting, r) }

// digest is C_Digest (5.10), in software.
func digest(s *session, r *request, out *response) CKR {
	data, to := r.bytes(), r.room()
	o, rv := s.whole(digesting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(digesting, o.digest.Size(), to, out, "C_Digest", func() ([]byte, error) {
		o.add(data)
		return o.input(), nil
	})
}

func digestUpdate(s *session, r *request, _ *response) CKR { return s.update(digesting, r) }

func digestFinal(s *session, r *request, out *response) CKR {
	to, o := r.room(), s.operations[digesting]
	switch {
	case o == nil:
		return CKR_OPERATION_NOT_INITIALIZED
	case r.bad:
		return CKR_ARGUMENTS_BAD
	}
	return s.finish(digesting, o.digest.Size(), to, out, "C_DigestFinal", func() ([]byte, error) { return o.input(), nil })
}
