package token

import (
	"crypto/sha256"
	"fmt"

	"tpmkey.example/provider"
)

// The one slot, and what it and its token are called.
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
func onSlot(f function) function {
	return initialized(func(l *Library, r *request, out *response) CKR {
		if slot := r.number(); slot != slotID || r.bad {
			return CKR_SLOT_ID_INVALID
		}
		return f(l, r, out)
	})
}

func getSlotInfo(_ *Library, r *request, out *response) CKR {
	out.padded("TPM 2.0", 64).padded(manufacturer, 32).number(CKF_TOKEN_PRESENT).version(0, 0).version(0, 0)
	return CKR_OK
}

// getTokenInfo is C_GetTokenInfo (5.5). The token needs no login; the TPM is not asked.
func getTokenInfo(l *Library, r *request, out *response) CKR {
	l.mu.Lock()
	sessions, writing := uint64(len(l.sessions)), uint64(0)
	for _, s := range l.sessions {
		if s.readWrite {
			writing++
		}
	}
	l.mu.Unlock()
	out.padded(tokenLabel, 32).padded(manufacturer, 32).padded(model, 16).padded(serialNumber(), 16)
	out.number(CKF_TOKEN_INITIALIZED | CKF_RNG | CKF_USER_PIN_INITIALIZED)
	out.number(0).number(sessions).number(0).number(writing) // as many sessions as one likes
	out.number(maxPIN).number(0)
	out.number(unavailable).number(unavailable).number(unavailable).number(unavailable)
	out.version(0, 0).version(0, 0).padded("", 16)
	return CKR_OK
}

// serialNumber tells the stores of two users apart: 16 hex digits of the SHA-256 of the store's path.
func serialNumber() string {
	sum := sha256.Sum256([]byte(provider.DefaultDirs()[0]))
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
