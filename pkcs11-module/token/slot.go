package token

import (
	"crypto/sha256"
	"fmt"
)

// The first slot is always there. What it and its token are called.
const (
	slotID       = 0
	tokenLabel   = "tpmkey"
	manufacturer = "tpmkey"
	model        = "TPM 2.0"
	maxPIN       = 255 // any PIN is taken
)

// Version of this library.
const libraryMajor, libraryMinor = 0, 1

// getInfo is C_GetInfo (5.4). The version is that of the interface by which the host asks.
func getInfo(_ *Library, r *request, out *response) CKR {
	major, minor := r.number(), r.number()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	out.version(major, minor).padded(manufacturer, 32).number(0).padded("RSA keys in the TPM", 32).version(libraryMajor, libraryMinor)
	return CKR_OK
}

func getSlotList(_ *Library, r *request, out *response) CKR {
	r.flag() // a token is always present
	to := r.room()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	return list(out, to, []uint64{slotID})
}

// onSlot makes a function of one that works on the slot that is named first.
func onSlot(f func(t *token, r *request, out *response) CKR) function {
	return initialized(func(l *Library, r *request, out *response) CKR {
		slot := r.number()
		l.mu.Lock()
		bad := r.bad || slot >= uint64(len(l.tokens))
		var t *token
		if !bad {
			t = l.tokens[slot]
		}
		l.mu.Unlock()
		if bad {
			return CKR_SLOT_ID_INVALID
		}
		return f(t, r, out)
	})
}

func getSlotInfo(_ *token, r *request, out *response) CKR {
	out.padded("TPM 2.0", 64).padded(manufacturer, 32).number(CKF_TOKEN_PRESENT).version(0, 0).version(0, 0)
	return CKR_OK
}

// getTokenInfo is C_GetTokenInfo (5.5). The token needs no login; the TPM is not asked.
func getTokenInfo(t *token, r *request, out *response) CKR {
	t.library.mu.Lock()
	var sessions, writing uint64
	for _, s := range t.library.sessions {
		if s.token == t {
			sessions++
		}
		if s.token == t && s.readWrite {
			writing++
		}
	}
	t.library.mu.Unlock()
	out.padded(t.label(), 32).padded(manufacturer, 32).padded(model, 16).padded(t.serialNumber(), 16)
	out.number(CKF_TOKEN_INITIALIZED | CKF_RNG | CKF_USER_PIN_INITIALIZED)
	out.number(0).number(sessions).number(0).number(writing) // as many sessions as one likes
	out.number(maxPIN).number(0)
	out.number(unavailable).number(unavailable).number(unavailable).number(unavailable)
	out.version(0, 0).version(0, 0).padded("", 16)
	return CKR_OK
}

// serialNumber tells the stores of two users apart: 16 hex digits of the SHA-256 of the store's path.
func (t *token) serialNumber() string {
	sum := sha256.Sum256([]byte(t.keys.Dirs()[0]))
	return fmt.Sprintf("%x", sum[:8])
}

// waitForSlotEvent is C_WaitForSlotEvent (5.5): the slot never changes.
func waitForSlotEvent(_ *Library, r *request, _ *response) CKR {
	flags, reserved := r.number(), r.flag()
	switch {
	case r.bad || reserved:
		return CKR_ARGUMENTS_BAD
	case flags&CKF_DONT_BLOCK != 0:
		return CKR_NO_EVENT
	}
	return CKR_FUNCTION_NOT_SUPPORTED
}
