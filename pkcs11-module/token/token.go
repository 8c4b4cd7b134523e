package token

import (
	"bytes"
	"os"
	"sync"

	"tpmkey.example/provider"
)

// A token is what is in a slot: keys in directories, and what goes with them.
type token struct {
	library *Library
	slot    uint64
	keys    *provider.Provider
	classic *classic // nil: the token needs no login

	scanning      sync.Mutex  // one reads the store at a time; taken before the library's mu
	stored        []*object   // those with files of their own, as they were read
	storedStamp   os.FileInfo // of their directory before; nil: there was none
	storedSettled bool

	// Guarded by the library's mu.
	objects objects
	scanned bool // the store was read
	allPINs bool // there are keys in it, and each has a PIN
	user    login
	pin     []byte          // what C_Login was given; on a classic token, the authValue of its keys
	tried   map[string]bool // the moduli of keys that were given it
	logins  int             // how many there were
}

// A login is who has logged in.
type login uint8

const (
	nobody login = iota
	user
	officer
)

func newToken(l *Library, keys *provider.Provider) *token {
	return &token{library: l, keys: keys, objects: newObjects()}
}

// auth is the authValue of new keys. Where the login has just ended there is none, and a key without one would be everybody's.
func (t *token) auth() ([]byte, error) {
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	switch {
	case t.classic == nil:
		return nil, nil
	case t.user != user:
		return nil, CKR_USER_NOT_LOGGED_IN
	}
	return bytes.Clone(t.pin), nil
}

// label is what the token is called.
func (t *token) label() string {
	if t.classic == nil {
		return tokenLabel
	}
	return t.classic.read().label
}
