package token

import (
	"bytes"
	"errors"
	"fmt"

	"tpmkey.example/provider"
)

// states are those of sessions (PKCS #11 v2.40, 4.4): by who is logged in, those that read and those that write.
var states = map[login][2]uint64{
	nobody:  {CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION},
	user:    {CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS},
	officer: {CKS_RW_SO_FUNCTIONS, CKS_RW_SO_FUNCTIONS}, // the former cannot be
}

func (s *session) state() uint64 {
	who := s.token.who()
	if s.readWrite {
		return states[who][1]
	}
	return states[who][0]
}

// who is the user also before C_Login where nothing needs a login: strongSwan asks for nothing less. Where all keys have PINs it is nobody: strongSwan has a
// PIN configured, but gives it only to a token to which it does not seem to be logged in.
func (t *token) who() login {
	open := t.classic == nil && !t.pinsOnly()
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	if open {
		return user
	}
	return t.user
}

// pinsOnly tells whether there are keys, and each has a PIN.
func (t *token) pinsOnly() bool {
	t.library.mu.Lock()
	scanned := t.scanned
	t.library.mu.Unlock()
	if !scanned || !t.keys.Unchanged() {
		t.refresh()
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	return t.allPINs
}

// logIn is C_Login (5.6).
func logIn(s *session, r *request, _ *response) CKR {
	as := r.number()
	pin, typed := r.optional()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	return s.login(as, pin, typed)
}

// loginUser is C_LoginUser (PKCS #11 v3.0, 5.6.7): users of a token have no names.
func loginUser(s *session, r *request, _ *response) CKR {
	as := r.number()
	pin, typed := r.optional()
	if name, _ := r.optional(); r.bad || len(name) > 0 {
		return CKR_ARGUMENTS_BAD
	}
	return s.login(as, pin, typed)
}

// logins are the users that can log in.
var logins = map[uint64]login{CKU_USER: user, CKU_SO: officer}

// login logs in. On the first token nothing needs it, so that any PIN is right: hosts that always ask, or always log in, go on. Keys that have a PIN are
// tried with it. A classic token has no way of its own to ask for the PIN (no CKF_PROTECTED_AUTHENTICATION_PATH), and none is no wrong one.
func (s *session) login(as uint64, pin []byte, typed bool) CKR {
	t, who := s.token, logins[as]
	if t.classic != nil {
		t.classic.mu.Lock() // one tries a PIN at a time
		defer t.classic.mu.Unlock()
	}
	if rv := t.mayLogin(as); rv != CKR_OK {
		return rv
	}
	if t.classic != nil && !typed {
		return CKR_ARGUMENTS_BAD
	}
	pin, err := t.secret(who, pin)
	if err != nil {
		return t.library.returnValue("C_Login", err)
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	t.user, t.pin, t.tried = who, pin, map[string]bool{}
	t.logins++
	return CKR_OK
}

// mayLogin tells whether the states of sessions let somebody log in (PKCS #11 v2.40, 5.6).
func (t *token) mayLogin(as uint64) CKR {
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	who := logins[as]
	switch {
	case as == CKU_CONTEXT_SPECIFIC:
		return CKR_OPERATION_NOT_INITIALIZED // no key asks for it
	case who == nobody || who == officer && t.classic == nil:
		return CKR_USER_TYPE_INVALID
	case t.user == who:
		return CKR_USER_ALREADY_LOGGED_IN
	case t.user != nobody:
		return CKR_USER_ANOTHER_ALREADY_LOGGED_IN
	case who == officer && t.hasSession(func(s *session) bool { return !s.readWrite }):
		return CKR_SESSION_READ_ONLY_EXISTS
	}
	return CKR_OK
}

// secret is what a login is worth: the PIN itself, or what it opens.
func (t *token) secret(who login, pin []byte) ([]byte, error) {
	if t.classic == nil {
		return bytes.Clone(pin), nil
	}
	return t.classic.unwrap(who, pin)
}

// forgetLogin is the end of a login. The caller holds the library's mu.
func (t *token) forgetLogin() {
	for _, o := range t.objects.byHandle {
		if o.class == CKO_PRIVATE_KEY && t.tried[string(o.public.N.Bytes())] {
			o.key.ForgetPIN()
		}
	}
	t.remove(func(o *object) bool { return t.classic != nil && o.is(CKA_PRIVATE) }) // those on the token get other handles (5.6)
	t.forgetUser()
}

// forgetUser is what of that concerns no objects. The caller holds the library's mu.
func (t *token) forgetUser() {
	clear(t.pin)
	t.user, t.pin, t.tried = nobody, nil, nil
	t.logins++
}

func logout(s *session, _ *request, _ *response) CKR {
	t := s.token
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	if t.user == nobody {
		return CKR_USER_NOT_LOGGED_IN
	}
	t.forgetLogin()
	return CKR_OK
}

// givePIN gives a key the PIN of the login, once: where that is wrong somebody may be asked for another.
func (o *object) givePIN() error {
	t := o.token
	t.library.mu.Lock()
	modulus := string(o.public.N.Bytes())
	give := len(t.pin) > 0 && o.key.HasPIN() && !t.tried[modulus]
	pin := bytes.Clone(t.pin)
	if give {
		t.tried[modulus] = true
	}
	t.library.mu.Unlock()
	defer clear(pin)
	if !give {
		return nil
	}
	return o.key.GivePIN(pin)
}

// blameLogin has a key that nobody can be asked about fail for the wrong PIN of the login, also when that is not tried again: hosts such as pkcs11-tool go
// on with C_SignUpdate, and show only what that gives.
func (o *operation) blameLogin(t *token, err error) error {
	if !errors.Is(err, provider.ErrPIN) || o.public == nil {
		return err
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	switch {
	case errors.As(err, new(CKR)):
		return err
	case t.user == nobody:
		return fmt.Errorf("%w; the program gave none either: have it log in (pkcs11-tool: --login), or use a token made by C_InitToken, to which all programs log in", err)
	case !t.tried[string(o.public.N.Bytes())]:
		return err
	}
	return fmt.Errorf("%w, as the login gave it: %w", provider.ErrWrongPIN, err)
}
