package token

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"crypto/rand"
	"crypto/rsa"
)

func encryptInit(s *session, r *request, _ *response) CKR { return s.begin(encrypting, r) }

// encrypt is C_Encrypt (5.8), in software.
func encrypt(s *session, r *request, out *response) CKR {
	data, to := r.bytes(), r.room()
	o, rv := s.whole(encrypting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(encrypting, o.size(), to, out, "C_Encrypt", func() ([]byte, error) {
		o.add(data)
		return o.encrypt()
	})
}

// encryptUpdate is C_EncryptUpdate. RSA has one block, which comes at the end.
func encryptUpdate(s *session, r *request, out *response) CKR {
	return s.updateWithoutOutput(encrypting, r, out)
}

func encryptFinal(s *session, r *request, out *response) CKR {
	to := r.room()
	o, rv := s.final(encrypting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(encrypting, o.size(), to, out, "C_EncryptFinal", o.encrypt)
}

func (o *operation) encrypt() ([]byte, error) {
	switch o.mechanism.padding {
	case pkcs1:
		return rsa.EncryptPKCS1v15(rand.Reader, o.public, o.data)
	case oaep:
		return rsa.EncryptOAEPWithOptions(rand.Reader, o.public, o.data, &rsa.OAEPOptions{Hash: o.hash, MGFHash: o.mgf, Label: o.label})
	}
	number, rv := o.padded(o.data)
	if rv != CKR_OK {
		return nil, rv
	}
	return o.publicOperation(number), nil
}

func decryptInit(s *session, r *request, _ *response) CKR { return s.begin(decrypting, r) }

// decrypt is C_Decrypt (5.9).
func decrypt(s *session, r *request, out *response) CKR {
	ciphertext, to := r.bytes(), r.room()
	o, rv := s.whole(decrypting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finishUnknown(decrypting, to, out, "C_Decrypt", func() ([]byte, error) {
		o.add(ciphertext)
		return o.decrypt()
	})
}

// decryptUpdate is C_DecryptUpdate. RSA has one block, which comes at the end.
func decryptUpdate(s *session, r *request, out *response) CKR {
	return s.updateWithoutOutput(decrypting, r, out)
}

func decryptFinal(s *session, r *request, out *response) CKR {
	to := r.room()
	o, rv := s.final(decrypting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finishUnknown(decrypting, to, out, "C_DecryptFinal", o.decrypt)
}

func (o *operation) decrypt() ([]byte, error) {
	if len(o.data) != o.size() {
		return nil, CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	switch o.mechanism.padding {
	case pkcs1:
		return o.key.DecryptPKCS1v15(o.data)
	case oaep:
		return o.key.DecryptOAEP(o.hash, o.mgf, o.label, o.data)
	}
	if _, rv := o.padded(o.data); rv != CKR_OK {
		return nil, CKR_ENCRYPTED_DATA_INVALID
	}
	return o.key.RawRSA(o.data)
}
