package token

import (
	"bytes"
	"crypto/rsa"
	"math/big"
)

// Verification is done in software: the public key is no secret, and the TPM is slow.

func verifyInit(s *session, r *request, _ *response) CKR { return s.begin(verifying, r) }

// verify is C_Verify (5.13).
func verify(s *session, r *request, _ *response) CKR {
	data, signature := r.bytes(), r.bytes()
	o, rv := s.whole(verifying, r)
	if rv != CKR_OK {
		return rv
	}
	defer s.cancel(verifying)
	o.add(data)
	return o.verify(signature)
}

func verifyUpdate(s *session, r *request, _ *response) CKR { return s.update(verifying, r) }

func verifyFinal(s *session, r *request, _ *response) CKR {
	signature := r.bytes()
	o, rv := s.final(verifying, r)
	if rv != CKR_OK {
		return rv
	}
	defer s.cancel(verifying)
	return o.verify(signature)
}

func (o *operation) verify(signature []byte) CKR {
	if len(signature) != o.size() {
		return CKR_SIGNATURE_LEN_RANGE
	}
	data := o.input()
	if rv := o.checkLength(data); rv != CKR_OK {
		return rv
	}
	if !o.matches(data, signature) {
		return CKR_SIGNATURE_INVALID
	}
	return CKR_OK
}

// checkLength refuses data that nothing of this length can have signed.
func (o *operation) checkLength(data []byte) CKR {
	most := o.size()
	if o.mechanism.padding == pkcs1 {
		most -= 11
	}
	if o.mechanism.padding == pss && len(data) != o.hash.Size() || len(data) > most {
		return CKR_DATA_LEN_RANGE
	}
	return CKR_OK
}

func (o *operation) matches(data, signature []byte) bool {
	switch o.mechanism.padding {
	case pkcs1:
		return rsa.VerifyPKCS1v15(o.public, o.mechanism.hash, data, signature) == nil
	case pss:
		return o.isBelowModulus(signature) && verifyPSS(o.publicOperation(signature), data, o.public.N.BitLen()-1, o.hash, o.mgf, o.salt)
	}
	number, rv := o.padded(data)
	return rv == CKR_OK && o.isBelowModulus(signature) && bytes.Equal(number, o.publicOperation(signature))
}

func (o *operation) isBelowModulus(number []byte) bool {
	return new(big.Int).SetBytes(number).Cmp(o.public.N) < 0
}

func verifyRecoverInit(s *session, r *request, _ *response) CKR { return s.begin(verifyRecovering, r) }

// verifyRecover is C_VerifyRecover (5.13).
func verifyRecover(s *session, r *request, out *response) CKR {
	signature, to := r.bytes(), r.room()
	o, rv := s.whole(verifyRecovering, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finishUnknown(verifyRecovering, to, out, "C_VerifyRecover", func() ([]byte, error) { return o.recover(signature) })
}

func (o *operation) recover(signature []byte) ([]byte, error) {
	if len(signature) != o.size() {
		return nil, CKR_SIGNATURE_LEN_RANGE
	}
	if !o.isBelowModulus(signature) {
		return nil, CKR_SIGNATURE_INVALID
	}
	encoded := o.publicOperation(signature)
	if o.mechanism.padding == noPadding {
		return encoded, nil
	}
	return unpadSigned(encoded)
}

// unpadSigned takes the padding of EMSA-PKCS1-v1_5 off (RFC 8017, 9.2): 0, 1, at least eight bytes 255, 0.
func unpadSigned(encoded []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(encoded, []byte{0, 1})
	data := bytes.TrimLeft(rest, "\xff")
	if !ok || len(rest)-len(data) < 8 || len(data) == 0 || data[0] != 0 {
		return nil, CKR_SIGNATURE_INVALID
	}
	return data[1:], nil
}
