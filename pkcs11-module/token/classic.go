package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"tpmkey.example/provider"
)

// A classic token has a security officer and a user, with a PIN each. Its keys all have one random authValue. That is encrypted to two RSA keys, whose
// authValues the PINs are: so the TPM checks them, and whoever changes a PIN changes one key. In its directory are
//
//	token     what a classicState says
//	pins/     so.pem and user.pem
//	keys/     its keys, as in any other directory of keys
//
// It needs nothing of the TPM but creating keys, decryption and changing an authValue.
type classic struct {
	dir  string
	pins *provider.Provider

	mu sync.Mutex // one reads and writes the file, and tries PINs, at a time

	locking sync.Mutex
	locked  map[string]time.Time // until when the TPM refuses the PIN of a key
}

// Names of the keys whose PINs are the officer's and the user's.
const (
	officerKey = "so"
	userKey    = "user"
)

var keyOfLogin = map[login]string{officer: officerKey, user: userKey}

// Lengths of PINs of a classic token: an authValue has 32 bytes at most.
const (
	minClassicPIN = 4
	maxClassicPIN = provider.MaxPIN
)

// A classicState is what the token's file says.
type classicState struct {
	initialized bool // it is there
	label       string
	wrapped     map[string][]byte // the authValue, by the name of the key that it is encrypted to
	failed      map[string]int    // tries of the PIN since it was last right
}

const (
	classicDir   = "tokens"
	classicFile  = "token"
	classicLabel = "tpmkey token" // of OAEP
	mostState    = 1 << 16        // bytes of the file
)

func (c *classic) path() string { return filepath.Join(c.dir, classicFile) }

// read reads the token's file. One that is not there, or damaged, is a token without PINs.
func (c *classic) read() classicState {
	s := classicState{wrapped: map[string][]byte{}, failed: map[string]int{}}
	text, err := provider.ReadBeside(c.dir, c.path(), mostState)
	s.initialized = !errors.Is(err, os.ErrNotExist)
	if err != nil {
		return s
	}
	for line := range strings.Lines(string(text)) {
		what, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		kind, name, _ := strings.Cut(what, " ")
		switch kind {
		case "label":
			s.label, _ = strconv.Unquote(value)
		case "auth":
			s.wrapped[name], _ = hex.DecodeString(value)
		case "failed":
			s.failed[name], _ = strconv.Atoi(value)
		}
	}
	return s
}

// write replaces the token's file.
func (c *classic) write(s classicState) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "label: %q\n", s.label)
	for _, name := range []string{officerKey, userKey} {
		if s.wrapped[name] != nil {
			fmt.Fprintf(&text, "auth %s: %x\n", name, s.wrapped[name])
		}
		if s.failed[name] > 0 {
			fmt.Fprintf(&text, "failed %s: %d\n", name, s.failed[name])
		}
	}
	return writeWhole(c.path(), text.Bytes())
}

// checkPIN tells whether a new PIN can be one.
func checkPIN(pin []byte) CKR {
	switch {
	case len(pin) < minClassicPIN || len(pin) > maxClassicPIN:
		return CKR_PIN_LEN_RANGE
	case provider.CheckPIN(pin) != nil:
		return CKR_PIN_INVALID
	}
	return CKR_OK
}

// noPIN is what a login says before somebody has a PIN: the officer's comes with C_InitToken, so that none is right before.
var noPIN = map[login]CKR{officer: CKR_PIN_INCORRECT, user: CKR_USER_PIN_NOT_INITIALIZED}

// unwrap has the TPM check a PIN, and gives the authValue of the token's keys. The caller holds mu.
func (c *classic) unwrap(who login, pin []byte) ([]byte, error) {
	name, state := keyOfLogin[who], c.read()
	if state.wrapped[name] == nil {
		return nil, noPIN[who]
	}
	if checkPIN(pin) != CKR_OK {
		return nil, errors.Join(c.count(state, name), CKR_PIN_INCORRECT)
	}
	k, err := c.pins.Key(name)
	if err == nil {
		err = k.GivePIN(pin)
	}
	if err != nil {
		return nil, err
	}
	defer k.ForgetPIN()
	auth, err := k.DecryptOAEP(crypto.SHA256, crypto.SHA256, []byte(classicLabel), state.wrapped[name])
	c.lock(name, err)
	switch {
	case errors.Is(err, provider.ErrWrongPIN):
		return nil, errors.Join(err, c.count(state, name))
	case err == nil && state.failed[name] > 0:
		state.failed[name] = 0
		err = c.write(state)
	}
	return auth, err
}

// count remembers a wrong PIN, for the flags of C_GetTokenInfo. What stops somebody who guesses is the TPM, or its manager.
func (c *classic) count(s classicState, name string) error {
	s.failed[name]++
	return c.write(s)
}

// lock remembers until when the TPM takes no PIN, for the flags too; where nobody knows it, as if that were over.
func (c *classic) lock(name string, err error) {
	c.locking.Lock()
	defer c.locking.Unlock()
	var locked *provider.LockedError
	delete(c.locked, name)
	if errors.As(err, &locked) {
		c.locked[name] = locked.Until
	}
}

func (c *classic) isLocked(name string) bool {
	c.locking.Lock()
	defer c.locking.Unlock()
	return time.Now().Before(c.locked[name])
}

// wrapTo encrypts the authValue to the key of a name.
func (s classicState) wrapTo(name string, to *rsa.PublicKey, auth []byte) error {
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, to, auth, []byte(classicLabel))
	s.wrapped[name] = wrapped
	return err
}

// newAuth is a random authValue. A TPM does not see zero bytes at the end, so that there are none.
func newAuth() []byte {
	auth := make([]byte, sha256.Size)
	for bytes.IndexByte(auth, 0) >= 0 {
		rand.Read(auth)
	}
	return auth
}

// setPIN makes the key that a PIN opens, in place of one that is there, and encrypts the authValue to it.
func (c *classic) setPIN(s classicState, who login, pin, auth []byte) error {
	name := keyOfLogin[who]
	if old, err := c.pins.Key(name); err == nil {
		if err := c.pins.Delete(old); err != nil {
			return err
		}
	}
	k, err := c.pins.Create(name, provider.Template{PIN: pin})
	if err == nil {
		err = s.wrapTo(name, k.Public(), auth)
	}
	s.failed[name] = 0
	return err
}

// changePIN is C_SetPIN: the TPM checks the old PIN and changes it in one command.
func (c *classic) changePIN(who login, old, pin []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	auth, err := c.unwrap(who, old) // which counts
	clear(auth)
	if errors.Is(err, CKR_USER_PIN_NOT_INITIALIZED) { // only C_Login says so
		err = CKR_PIN_INCORRECT
	}
	if err != nil {
		return err
	}
	k, err := c.pins.Key(keyOfLogin[who])
	if err == nil {
		err = k.GivePIN(old)
	}
	if err != nil {
		return err
	}
	defer k.ForgetPIN()
	_, err = c.pins.ChangePIN(k, pin)
	return err
}

// openClassic gives the token of a directory.
func openClassic(l *Library, beside *provider.Provider, dir string) *token {
	t := newToken(l, beside.Beside([]string{filepath.Join(dir, "keys")}))
	t.classic = &classic{dir: dir, pins: beside.Beside([]string{filepath.Join(dir, "pins")}), locked: map[string]time.Time{}}
	return t
}

// newFree gives the token that is to be: its directory is not there yet. The caller holds mu.
func (l *Library) newFree() *token {
	serial := make([]byte, 8)
	rand.Read(serial)
	t := openClassic(l, l.keys, filepath.Join(l.keys.Dirs()[0], classicDir, hex.EncodeToString(serial)))
	t.slot = uint64(len(l.tokens))
	return t
}

// findTokens adds the tokens that came since. Their slots are free while nobody has a session there. The caller holds mu.
func (l *Library) findTokens() {
	if l.free.hasSession(func(*session) bool { return true }) {
		return
	}
	parent := filepath.Join(l.keys.Dirs()[0], classicDir)
	entries, err := os.ReadDir(parent) // sorted
	if err != nil {
		return // there are none
	}
	for _, entry := range entries {
		dir := filepath.Join(parent, entry.Name())
		if _, err := os.Stat(filepath.Join(dir, classicFile)); err == nil {
			l.addToken(dir)
		}
	}
}

func (l *Library) addToken(dir string) {
	for _, t := range l.tokens {
		if t.classic != nil && t.classic.dir == dir {
			return
		}
	}
	t := l.free
	if t.classic.dir != dir {
		t = openClassic(l, l.keys, dir)
		t.slot = l.free.slot
		l.free.slot++
	}
	l.tokens = append(l.tokens, t)
	if t == l.free {
		l.free = l.newFree()
	}
}
