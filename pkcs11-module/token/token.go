package token

import (
	"sync"

	"tpmkey.example/provider"
)

// A token is what is in a slot: keys in directories, and what goes with them.
type token struct {
	library *Library
	slot    uint64
	keys    *provider.Provider
	classic *classic // nil: the token needs no login

	scanning sync.Mutex // one reads the store at a time; taken before the library's mu

	// Guarded by the library's mu.
	objects objects
	user    login
	pin     []byte          // what C_Login was given
	tried   map[string]bool // the files of keys that were given it
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

// classic is what a token with PINs has more.
type classic struct{}

// auth is the authValue of new keys.
func (t *token) auth() []byte { return nil }

// label is what the token is called.
func (t *token) label() string { return tokenLabel }
