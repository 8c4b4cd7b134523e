package token

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

// digestKey is C_DigestKey (5.10), which only secret keys are for.
func digestKey(s *session, r *request, _ *response) CKR {
	handle := r.number()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case s.operations[digesting] == nil:
		return CKR_OPERATION_NOT_INITIALIZED
	}
	if o := s.object(handle); o == nil || !o.isKey() {
		return CKR_KEY_HANDLE_INVALID
	}
	s.cancel(digesting)
	return CKR_KEY_INDIGESTIBLE
}

func digestFinal(s *session, r *request, out *response) CKR {
	to := r.room()
	o, rv := s.final(digesting, r)
	if rv != CKR_OK {
		return rv
	}
	return s.finish(digesting, o.digest.Size(), to, out, "C_DigestFinal", func() ([]byte, error) { return o.input(), nil })
}
