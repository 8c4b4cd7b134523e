package token

// cancelled are the flags of C_SessionCancel (PKCS #11 v3.0, 5.6.9) of what a session may have under way.
var cancelled = map[uint64]kind{
	CKF_SIGN: signing, CKF_VERIFY: verifying, CKF_ENCRYPT: encrypting, CKF_DECRYPT: decrypting, CKF_DIGEST: digesting,
	CKF_SIGN_RECOVER: signRecovering, CKF_VERIFY_RECOVER: verifyRecovering,
}

// sessionCancel is C_SessionCancel. What is not under way is as good as cancelled.
func sessionCancel(s *session, r *request, _ *response) CKR {
	flags := r.number()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	for flag, k := range cancelled {
		if flags&flag != 0 {
			s.cancel(k)
		}
	}
	if flags&CKF_FIND_OBJECTS != 0 {
		s.finding, s.found = false, nil
	}
	return CKR_OK
}

// getOperationState is C_GetOperationState (5.6). Searches, and signatures with recovery, are none of the operations that it knows.
func getOperationState(s *session, _ *request, _ *response) CKR {
	for _, k := range []kind{signing, verifying, encrypting, decrypting, digesting} {
		if s.running(k) != nil {
			return CKR_STATE_UNSAVEABLE
		}
	}
	return CKR_OPERATION_NOT_INITIALIZED
}
