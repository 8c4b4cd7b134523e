// Package token is what PKCS #11 means, in Go: slots, sessions, objects, mechanisms. It is called with one flat message at a time (message.go) and
// knows neither C nor the TPM's commands.
package token

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"sync"

	"tpmkey.example/provider"
)

// A Library is one loaded module. Its methods may be called by any number of threads.
type Library struct {
	open func() *provider.Provider
	log  func(string)

	mu          sync.Mutex
	keys        *provider.Provider // nil: C_Initialize was not called
	tokens      []*token           // by slot
	announced   int                // how many of them are no news
	free        *token             // in the slot after them: what C_InitToken makes the next one of
	sessions    map[uint64]*session
	lastSession uint64
	lastObject  uint64 // the handle
}

// NewLibrary makes a library whose keys open gives at C_Initialize. log is told why calls fail; nil: nobody is.
func NewLibrary(open func() *provider.Provider, log func(string)) *Library {
	if log == nil {
		log = func(string) {}
	}
	return &Library{open: open, log: log}
}

// malformed is added to the number of a function whose pointers the front could not follow. Its first argument alone comes with it, which is the session's
// handle where it has one.
const malformed = 1 << 32

// refuseMalformed answers such a call. It ends the operation that it is of, as every other failure does.
func (l *Library) refuseMalformed(function, handle uint64) CKR {
	l.mu.Lock()
	ready, s := l.keys != nil, l.sessions[handle]
	l.mu.Unlock()
	if !ready {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	if k, ends := endedBy[function]; ends && s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancel(k)
	}
	return CKR_ARGUMENTS_BAD
}

// Call answers one request of the front, and wipes it: there may be a PIN in it, or a key. A panic is ours, never the host's.
func (l *Library) Call(message []byte) (answer []byte) {
	defer clear(message)
	r := &request{rest: message}
	function := r.number()
	defer func() {
		if p := recover(); p != nil {
			l.log(fmt.Sprintf("function %d: panic: %v\n%s", function, p, debug.Stack()))
			answer = new(response).number(uint64(CKR_GENERAL_ERROR)).b
		}
	}()
	if function&malformed != 0 {
		return new(response).number(uint64(l.refuseMalformed(function&^malformed, r.number()))).b
	}
	if function >= uint64(len(functions)) || functions[function] == nil {
		return new(response).number(uint64(CKR_FUNCTION_NOT_SUPPORTED)).b
	}
	out := new(response).number(uint64(CKR_OK))
	rv := functions[function](l, r, out)
	if !answersWith[rv] {
		out.b = out.b[:8]
	}
	binary.NativeEndian.PutUint64(out.b, uint64(rv))
	return out.b
}

// answersWith are the return values that come with output.
var answersWith = map[CKR]bool{CKR_OK: true, CKR_BUFFER_TOO_SMALL: true, CKR_ATTRIBUTE_SENSITIVE: true, CKR_ATTRIBUTE_TYPE_INVALID: true}

// A function reads its arguments from r and writes its answer to out.
type function func(l *Library, r *request, out *response) CKR

// initialize is C_Initialize (5.4). Locks are the core's own, so that callbacks are neither needed nor used. CKF_LIBRARY_CANT_CREATE_OS_THREADS, which
// p11-kit always sets, is not heeded: Go makes threads, and to refuse would leave out all of p11-kit's hosts.
func initialize(l *Library, r *request, _ *response) CKR {
	if r.flag() {
		callbacks, flags, reserved := r.number(), r.number(), r.flag()
		switch {
		case reserved || callbacks != 0 && callbacks != 4:
			return CKR_ARGUMENTS_BAD
		case callbacks == 4 && flags&CKF_OS_LOCKING_OK == 0:
			return CKR_CANT_LOCK // the host wants its own locks to be used
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys != nil {
		return CKR_CRYPTOKI_ALREADY_INITIALIZED
	}
	l.keys, l.sessions = l.open(), map[uint64]*session{}
	l.tokens = []*token{newToken(l, l.keys)}
	l.free = l.newFree()
	l.findTokens()
	l.announced = len(l.tokens)
	return CKR_OK
}

// finalize is C_Finalize (5.4). Operations that run end as the closed provider lets them.
func finalize(l *Library, r *request, _ *response) CKR {
	if r.flag() {
		return CKR_ARGUMENTS_BAD
	}
	l.mu.Lock()
	keys, sessions, tokens := l.keys, l.sessions, append(l.tokens, l.free)
	l.keys, l.sessions, l.tokens, l.free = nil, nil, nil, nil
	for _, t := range tokens {
		if t != nil {
			t.forgetUser()
		}
	}
	l.mu.Unlock()
	if keys == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	for _, s := range sessions {
		s.wipe()
	}
	if err := keys.Close(); err != nil {
		l.log(fmt.Sprintf("C_Finalize: %v", err))
	}
	return CKR_OK
}

// provider gives the keys, nil when C_Finalize came in between.
func (l *Library) provider() *provider.Provider {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keys
}

// initialized makes a function one that only works between C_Initialize and C_Finalize, with sound arguments.
func initialized(f function) function {
	return func(l *Library, r *request, out *response) CKR {
		if l.provider() == nil {
			return CKR_CRYPTOKI_NOT_INITIALIZED
		}
		return f(l, r, out)
	}
}

// onSession makes a function of one that works on the session whose handle comes first. One session does one thing at a time.
func onSession(f func(s *session, r *request, out *response) CKR) function {
	return initialized(func(l *Library, r *request, out *response) CKR {
		handle := r.number()
		l.mu.Lock()
		s := l.sessions[handle]
		l.mu.Unlock()
		if s == nil {
			return CKR_SESSION_HANDLE_INVALID
		}
		s.mu.Lock()
		defer s.wipeIfClosed()
		defer s.mu.Unlock()
		return f(s, r, out)
	})
}

// refuseSession answers the same for every session that there is.
func refuseSession(rv CKR) function {
	return onSession(func(*session, *request, *response) CKR { return rv })
}

// refuseMechanism answers the same for every mechanism.
func refuseMechanism(rv CKR) function {
	return onSession(func(_ *session, r *request, _ *response) CKR {
		if r.neededMechanism(); r.bad {
			return CKR_ARGUMENTS_BAD
		}
		return rv
	})
}
