package token

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// initToken is C_InitToken (5.5). The first token is what it is. The free one becomes a classic one; a classic one becomes empty, if its officer says so.
func initToken(t *token, r *request, _ *response) CKR {
	pin, present := r.optional()
	label := strings.TrimRight(string(r.bytes()), " ")
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case t.classic == nil:
		return CKR_TOKEN_WRITE_PROTECTED
	case !present || !isPrintable(label):
		return CKR_ARGUMENTS_BAD
	}
	return t.library.returnValue("C_InitToken", t.initialize(pin, label))
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// initialize makes a token anew, or the first time.
func (t *token) initialize(pin []byte, label string) error {
	t.library.mu.Lock()
	busy := t.hasSession(func(*session) bool { return true })
	t.library.mu.Unlock()
	if busy {
		return CKR_SESSION_EXISTS
	}
	c := t.classic
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read().initialized {
		return c.empty(pin, label)
	}
	if err := c.start(pin, label); err != nil {
		return err
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	if t.library.free == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	t.library.addToken(c.dir)
	return nil
}

// start makes the token's files, that by which it is one at last. The caller holds mu.
func (c *classic) start(pin []byte, label string) error {
	if rv := checkPIN(pin); rv != CKR_OK {
		return rv
	}
	s, auth := c.read(), newAuth()
	defer clear(auth)
	s.label = label
	err := c.setPIN(s, officer, pin, auth)
	if err == nil {
		err = c.write(s)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// empty deletes all that is on a token, and the user's PIN. The officer's stays. The caller holds mu.
func (c *classic) empty(pin []byte, label string) error {
	old, err := c.unwrap(officer, pin)
	clear(old)
	if err != nil {
		return err
	}
	k, err := c.pins.Key(officerKey)
	if err != nil {
		return err
	}
	s, auth := c.read(), newAuth()
	defer clear(auth)
	s.label = label
	delete(s.wrapped, userKey)
	delete(s.failed, userKey)
	if err := s.wrapTo(officerKey, k.Public(), auth); err != nil {
		return err
	}
	if err := c.write(s); err != nil { // from here on nothing opens the old keys
		return err
	}
	return os.RemoveAll(filepath.Join(c.dir, "keys"))
}

// initPIN is C_InitPIN (5.5): the officer gives the user a PIN.
func initPIN(s *session, r *request, _ *response) CKR {
	pin := r.bytes()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	t := s.token
	t.library.mu.Lock()
	who, auth := t.user, bytes.Clone(t.pin)
	t.library.mu.Unlock()
	defer clear(auth)
	switch {
	case t.classic == nil:
		return CKR_FUNCTION_NOT_SUPPORTED // any PIN is right
	case who != officer:
		return CKR_USER_NOT_LOGGED_IN
	}
	if rv := checkPIN(pin); rv != CKR_OK {
		return rv
	}
	c := t.classic
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.read()
	err := c.setPIN(state, user, pin, auth)
	if err == nil {
		err = c.write(state)
	}
	return s.library.returnValue("C_InitPIN", err)
}

// setPIN is C_SetPIN (5.5): whoever is logged in changes his PIN, in a public session the user.
func setPIN(s *session, r *request, _ *response) CKR {
	old, hasOld := r.optional()
	pin, hasNew := r.optional()
	t := s.token
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case t.classic == nil:
		return CKR_FUNCTION_NOT_SUPPORTED // keys have PINs, the token has none
	case !s.readWrite:
		return CKR_SESSION_READ_ONLY
	case !hasOld || !hasNew:
		return CKR_ARGUMENTS_BAD
	}
	if rv := checkPIN(pin); rv != CKR_OK {
		return rv
	}
	t.library.mu.Lock()
	who := t.user
	t.library.mu.Unlock()
	if who == nobody {
		who = user
	}
	return s.library.returnValue("C_SetPIN", t.classic.changePIN(who, old, pin))
}
