package token

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"

	"tpmkey.example/internal/version"
)

// The first slot is always there. What it and its token are called.
const (
	slotID       = 0
	tokenLabel   = "tpmkey"
	manufacturer = "tpmkey"
	model        = "TPM 2.0"
	maxPIN       = 255 // any PIN is taken
)

// getInfo is C_GetInfo (5.4). The version is that of the interface by which the host asks.
func getInfo(_ *Library, r *request, out *response) CKR {
	major, minor := r.number(), r.number()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	out.version(major, minor).padded(manufacturer, 32).number(0).padded("RSA keys in the TPM", 32).version(version.MajorMinor())
	return CKR_OK
}

// getSlotList is C_GetSlotList (5.5). Tokens that came since are found when the host asks how many there are. Behind the last one is a slot for one more.
func getSlotList(l *Library, r *request, out *response) CKR {
	present, to := r.flag(), r.room()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	if !to.wanted {
		l.findTokens()
	}
	var slots []uint64
	for _, t := range l.tokens {
		slots = append(slots, t.slot)
	}
	if !present {
		slots = append(slots, l.free.slot)
	}
	return list(out, to, slots)
}

// tokenOf gives the token in a slot.
func (l *Library) tokenOf(slot uint64) (*token, CKR) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := uint64(len(l.tokens)); {
	case l.keys == nil:
		return nil, CKR_CRYPTOKI_NOT_INITIALIZED
	case slot < n:
		return l.tokens[slot], CKR_OK
	case slot == n:
		return l.free, CKR_OK
	}
	return nil, CKR_SLOT_ID_INVALID
}

// onSlot makes a function of one that works on the token in the slot that is named first.
func onSlot(f func(t *token, r *request, out *response) CKR) function {
	return initialized(func(l *Library, r *request, out *response) CKR {
		slot := r.number()
		if r.bad {
			return CKR_SLOT_ID_INVALID
		}
		t, rv := l.tokenOf(slot)
		if rv != CKR_OK {
			return rv
		}
		return f(t, r, out)
	})
}

// getSlotInfo is C_GetSlotInfo (5.5).
func getSlotInfo(t *token, _ *request, out *response) CKR {
	flags := CKF_HW_SLOT
	if !t.isFree() {
		flags |= CKF_TOKEN_PRESENT
	}
	if t.classic != nil {
		flags |= CKF_REMOVABLE_DEVICE
	}
	out.padded("TPM 2.0", 64).padded(manufacturer, 32).number(flags).version(0, 0).version(0, 0)
	return CKR_OK
}

// isFree tells whether a token is the one that is to be. Its slot says that there is none, so that only who looks for it sees it; and whoever looks all the
// same, such as pkcs11-tool before C_InitToken and systemd, finds one that is not initialised.
func (t *token) isFree() bool {
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	return t == t.library.free
}

// getTokenInfo is C_GetTokenInfo (5.5). The TPM is not asked.
func getTokenInfo(t *token, _ *request, out *response) CKR {
	sessions, writing := t.sessions()
	out.padded(t.label(), 32).padded(manufacturer, 32).padded(model, 16).padded(t.serialNumber(), 16)
	flags, shortest, longest := t.flags()
	out.number(flags)
	out.number(0).number(sessions).number(0).number(writing) // as many sessions as one likes
	out.number(longest).number(shortest)
	out.number(unavailable).number(unavailable).number(unavailable).number(unavailable)
	out.version(0, 0).version(0, 0).padded("", 16)
	return CKR_OK
}

// flags are those of CK_TOKEN_INFO (3.2), with the lengths of PINs.
func (t *token) flags() (flags, shortest, longest uint64) {
	flags = CKF_TOKEN_INITIALIZED | CKF_RNG
	if t.classic == nil {
		return flags | CKF_USER_PIN_INITIALIZED, 0, maxPIN
	}
	state := t.classic.read()
	if !state.initialized {
		return CKF_RNG, minClassicPIN, maxClassicPIN
	}
	flags |= CKF_LOGIN_REQUIRED
	for flag, set := range map[uint64]bool{
		CKF_USER_PIN_INITIALIZED: state.wrapped[userKey] != nil,
		CKF_USER_PIN_COUNT_LOW:   state.failed[userKey] > 0,
		CKF_USER_PIN_LOCKED:      t.classic.isLocked(userKey),
		CKF_SO_PIN_COUNT_LOW:     state.failed[officerKey] > 0,
		CKF_SO_PIN_LOCKED:        t.classic.isLocked(officerKey),
	} {
		if set {
			flags |= flag
		}
	}
	return flags, minClassicPIN, maxClassicPIN
}

// serialNumber tells the stores of two users apart: 16 hex digits of the SHA-256 of the store's path.
func (t *token) serialNumber() string {
	switch {
	case t.isFree():
		return ""
	case t.classic != nil:
		return filepath.Base(t.classic.dir)
	}
	sum := sha256.Sum256([]byte(t.keys.Dirs()[0]))
	return fmt.Sprintf("%x", sum[:8])
}

// waitForSlotEvent is C_WaitForSlotEvent (5.5): a token that came since C_Initialize is an event of its slot, once. It never waits: the front does.
func waitForSlotEvent(l *Library, r *request, out *response) CKR {
	if reserved := r.flag(); r.bad || reserved {
		return CKR_ARGUMENTS_BAD
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys == nil {
		return CKR_CRYPTOKI_NOT_INITIALIZED
	}
	l.findTokens()
	if l.announced == len(l.tokens) {
		return CKR_NO_EVENT
	}
	out.number(l.tokens[l.announced].slot)
	l.announced++
	return CKR_OK
}

// sessions counts the token's, and those of them that may write.
func (t *token) sessions() (all, writing uint64) {
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	for _, s := range t.library.sessions {
		if s.token == t {
			all++
		}
		if s.token == t && s.readWrite {
			writing++
		}
	}
	return all, writing
}
