package wire

import "github.com/google/go-tpm/tpm2"

// HandleType is the first byte of a handle: what it stands for (Part 2, 7.2).
func HandleType(handle uint32) tpm2.TPMHT { return tpm2.TPMHT(handle >> 24) }

// IsTransient tells whether handle names a transient object.
func IsTransient(handle uint32) bool { return HandleType(handle) == tpm2.TPMHTTransient }

// IsPersistent tells whether handle names a persistent object.
func IsPersistent(handle uint32) bool { return HandleType(handle) == tpm2.TPMHTPersistent }

// IsAuthSession tells whether handle names an HMAC or policy session.
func IsAuthSession(handle uint32) bool {
	t := HandleType(handle)
	return t == tpm2.TPMHTHMACSession || t == tpm2.TPMHTPolicySession
}

// RSPassword is TPM_RS_PW: a password authorization stands in place of a session (Part 2, 7.4).
const RSPassword = uint32(tpm2.TPMRSPW)

// SRK is where TCG's provisioning guidance puts the storage root key.
const SRK uint32 = 0x81000001
