package token

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
)

// A session is a host's connection to the token (5.6), with at most one operation of each kind under way.
type session struct {
	library   *Library
	token     *token
	handle    uint64
	readWrite bool

	mu         sync.Mutex // one call at a time
	found      []uint64   // object handles that C_FindObjects has not given yet
	finding    bool
	operations [kindCount]*operation
}

func openSession(t *token, r *request, out *response) CKR {
	flags := r.number()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case flags&CKF_SERIAL_SESSION == 0:
		return CKR_SESSION_PARALLEL_NOT_SUPPORTED
	}
	l, readWrite := t.library, flags&CKF_RW_SESSION != 0
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.sessions == nil:
		return CKR_CRYPTOKI_NOT_INITIALIZED
	case !readWrite && t.user == officer:
		return CKR_SESSION_READ_WRITE_SO_EXISTS
	}
	l.lastSession++ // a closed one's handle is not given out again
	l.sessions[l.lastSession] = &session{library: l, token: t, handle: l.lastSession, readWrite: readWrite}
	out.number(l.lastSession)
	return CKR_OK
}

func closeSession(l *Library, r *request, _ *response) CKR {
	handle := r.number()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[handle]
	if s == nil {
		return CKR_SESSION_HANDLE_INVALID
	}
	s.close()
	s.wipe()
	return CKR_OK
}

// wipe ends what a closed session has under way, unless a call is at it, which does so when it is done: it may take long.
func (s *session) wipe() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	for k := range kindCount {
		s.cancel(k)
	}
}

func (s *session) wipeIfClosed() {
	s.library.mu.Lock()
	closed := s.library.sessions[s.handle] != s
	s.library.mu.Unlock()
	if closed {
		s.wipe()
	}
}

// close takes the session's objects with it, and the last one of a token the login (5.6). The caller holds the library's mu.
func (s *session) close() {
	delete(s.library.sessions, s.handle)
	s.token.remove(func(o *object) bool { return o.owner == s })
	if !s.token.hasSession(func(*session) bool { return true }) {
		s.token.forgetLogin()
	}
}

// hasSession tells whether the token has a session of some kind. The caller holds the library's mu.
func (t *token) hasSession(which func(*session) bool) bool {
	for _, s := range t.library.sessions {
		if s.token == t && which(s) {
			return true
		}
	}
	return false
}

func closeAllSessions(t *token, _ *request, _ *response) CKR {
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	for _, s := range t.library.sessions {
		if s.token == t {
			s.close()
			s.wipe()
		}
	}
	return CKR_OK
}

// getSessionInfo is C_GetSessionInfo (5.6).
func getSessionInfo(s *session, _ *request, out *response) CKR {
	flags := CKF_SERIAL_SESSION
	if s.readWrite {
		flags |= CKF_RW_SESSION
	}
	s.library.mu.Lock()
	slot := s.token.slot
	s.library.mu.Unlock()
	out.number(slot).number(s.state()).number(flags).number(0)
	return CKR_OK
}

// randomDevice takes what is mixed into the kernel's generator.
const randomDevice = "/dev/urandom"

// seedRandom is C_SeedRandom (5.14): for the generator that C_GenerateRandom uses, where the host can reach it.
func seedRandom(s *session, r *request, _ *response) CKR {
	seed := r.bytes()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	f, err := os.OpenFile(randomDevice, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(seed)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.library.log(fmt.Sprintf("C_SeedRandom: %v", err))
		return CKR_RANDOM_SEED_NOT_SUPPORTED
	}
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
