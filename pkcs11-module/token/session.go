package token

import (
	"crypto/rand"
	"sync"
)

// A session is a host's connection to the token (5.6), with at most one operation of each kind under way.
type session struct {
	library   *Library
	handle    uint64
	readWrite bool

	mu         sync.Mutex // one call at a time
	found      []uint64   // object handles that C_FindObjects has not given yet
	finding    bool
	operations [kindCount]*operation
}

func openSession(l *Library, r *request, out *response) CKR {
	flags := r.number()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case flags&CKF_SERIAL_SESSION == 0:
		return CKR_SESSION_PARALLEL_NOT_SUPPORTED
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sessions == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	l.lastSession++ // a closed one's handle is not given out again
	l.sessions[l.lastSession] = &session{library: l, handle: l.lastSession, readWrite: flags&CKF_RW_SESSION != 0}
	out.number(l.lastSession)
	return CKR_OK
}

func closeSession(l *Library, r *request, _ *response) CKR {
	handle := r.number()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sessions[handle] == nil {
		return CKR_SESSION_HANDLE_INVALID
	}
	delete(l.sessions, handle)
	l.loggedIn = l.loggedIn && len(l.sessions) > 0 // the last session takes the login with it (5.6)
	return CKR_OK
}

func closeAllSessions(l *Library, _ *request, _ *response) CKR {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.sessions)
	l.loggedIn = false
	return CKR_OK
}

// getSessionInfo reports a user's session also before C_Login: strongSwan asks for nothing less, and nothing here needs a login.
func getSessionInfo(s *session, _ *request, out *response) CKR {
	state, flags := CKS_RO_USER_FUNCTIONS, CKF_SERIAL_SESSION
	if s.readWrite {
		state, flags = CKS_RW_USER_FUNCTIONS, CKF_SERIAL_SESSION|CKF_RW_SESSION
	}
	out.number(slotID).number(state).number(flags).number(0)
	return CKR_OK
}

// login is C_Login (5.6). Nothing needs it, so that any PIN is right: hosts that always ask, or always log in, go on.
func login(s *session, r *request, _ *response) CKR {
	user := r.number()
	if r.optional(); r.bad {
		return CKR_ARGUMENTS_BAD
	}
	return s.login(user)
}

// loginUser is C_LoginUser (PKCS #11 v3.0, 5.6.7): users of a token have no names.
func loginUser(s *session, r *request, _ *response) CKR {
	user := r.number()
	r.optional()
	if name, _ := r.optional(); r.bad || len(name) > 0 {
		return CKR_ARGUMENTS_BAD
	}
	return s.login(user)
}

func (s *session) login(user uint64) CKR {
	l := s.library
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case user == CKU_CONTEXT_SPECIFIC:
		return CKR_OPERATION_NOT_INITIALIZED // no key asks for it
	case user != CKU_USER:
		return CKR_USER_TYPE_INVALID
	case l.loggedIn:
		return CKR_USER_ALREADY_LOGGED_IN
	}
	l.loggedIn = true
	return CKR_OK
}

func logout(s *session, _ *request, _ *response) CKR {
	l := s.library
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loggedIn {
		return CKR_USER_NOT_LOGGED_IN
	}
	l.loggedIn = false
	return CKR_OK
}

// mostRandom is what one C_GenerateRandom gives at most.
const mostRandom = 1 << 24

// generateRandom is C_GenerateRandom (5.14). The bytes are the kernel's, which mixes in the TPM's by itself.
func generateRandom(_ *session, r *request, out *response) CKR {
	n := r.number()
	if r.bad || n > mostRandom {
		return CKR_ARGUMENTS_BAD
	}
	b := make([]byte, n)
	rand.Read(b)
	out.bytes(b)
	return CKR_OK
}
