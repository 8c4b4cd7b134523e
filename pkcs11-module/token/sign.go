package token

func signInit(s *session, r *request, _ *response) CKR { return s.begin(signing, r) }

// sign is C_Sign (5.11).
func sign(s *session, r *request, out *response) CKR {
	return s.signWhole(signing, r, out, "C_Sign")
}

func (s *session) signWhole(k kind, r *request, out *response, what string) CKR {
	data, to := r.bytes(), r.room()
	o, rv := s.whole(k, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(k, o.size(), to, out, what, func() ([]byte, error) {
		o.add(data)
		return o.sign()
	})
}

func signUpdate(s *session, r *request, _ *response) CKR { return s.update(signing, r) }

func signFinal(s *session, r *request, out *response) CKR {
	to := r.room()
	o, rv := s.final(signing, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(signing, o.size(), to, out, "C_SignFinal", o.sign)
}

func signRecoverInit(s *session, r *request, _ *response) CKR { return s.begin(signRecovering, r) }

// signRecover is C_SignRecover (5.11): what CKM_RSA_PKCS and CKM_RSA_X_509 sign can be had back from the signature.
func signRecover(s *session, r *request, out *response) CKR {
	return s.signWhole(signRecovering, r, out, "C_SignRecover")
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
		return o.key.SignPSSWithMGF(o.hash, o.mgf, data, o.salt)
	}
	number, rv := o.padded(data)
	if rv != CKR_OK {
		return nil, rv
	}
	return o.key.RawRSA(number)
}
