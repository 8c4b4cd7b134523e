package filter

import (
	"bytes"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

const fixedParentAttributes = wire.FixedTPM | wire.FixedParent | wire.SensitiveDataOrigin | wire.UserWithAuth

// IsStorageTemplate takes what TCG's storage templates have: RSA 2048 or ECC P-256 with AES-128-CFB, no policy, a unique field
// that is empty or zeros of full length. Every other unique field would be one more primary.
func IsStorageTemplate(p *wire.Public) bool {
	const attributes = fixedParentAttributes | wire.Restricted | wire.Decrypt
	common := p.Attributes&^wire.NoDA == attributes && p.NameAlg == tpm2.TPMAlgSHA256 && len(p.AuthPolicy) == 0 &&
		p.Scheme == tpm2.TPMAlgNull && p.Symmetric == wire.Symmetric{Alg: tpm2.TPMAlgAES, KeyBits: 128, Mode: tpm2.TPMAlgCFB}
	switch p.Type {
	case tpm2.TPMAlgRSA:
		return common && p.KeyBits == 2048 && (p.Exponent == 0 || p.Exponent == 65537) && isEmptyOrZeros(p.Unique[0], 256)
	case tpm2.TPMAlgECC:
		return common && p.Curve == tpm2.TPMECCNistP256 && p.KDF == tpm2.TPMAlgNull && len(p.Unique[0]) == len(p.Unique[1]) &&
			isEmptyOrZeros(p.Unique[0], 32) && isEmptyOrZeros(p.Unique[1], 32)
	}
	return false
}

// IsSRK tells whether a persistent object may stand as the storage root key for everybody (U9).
func IsSRK(p *wire.Public) bool {
	const attributes = wire.FixedTPM | wire.FixedParent | wire.UserWithAuth
	return p.Has(attributes) && ObjectOf(p).IsParent() && isOneOf(p.Type, tpm2.TPMAlgRSA, tpm2.TPMAlgECC)
}

// isNewRSA takes RSA keys that sign or decrypt, for TPM2_Create.
func isNewRSA(p *wire.Public) bool {
	return p.Type == tpm2.TPMAlgRSA && isNewKey(p) && isOneOf(p.KeyBits, 2048, 3072, 4096) && (p.Exponent == 0 || p.Exponent&1 == 1) &&
		isOneOf(p.Scheme, tpm2.TPMAlgNull, tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgRSAES, tpm2.TPMAlgOAEP)
}

func isNewECC(p *wire.Public) bool {
	return p.Type == tpm2.TPMAlgECC && isNewKey(p) && isOneOf(p.Curve, tpm2.TPMECCNistP256, tpm2.TPMECCNistP384, tpm2.TPMECCNistP521) &&
		p.KDF == tpm2.TPMAlgNull && isOneOf(p.Scheme, tpm2.TPMAlgNull, tpm2.TPMAlgECDSA, tpm2.TPMAlgECDH)
}

func isNewKey(p *wire.Public) bool {
	const never = wire.Restricted | wire.AdminWithPolicy | wire.EncryptedDuplication | wire.STClear
	return p.Has(wire.SensitiveDataOrigin|wire.UserWithAuth) && !p.HasAny(never) && p.HasAny(wire.Sign|wire.Decrypt) && isStrongHash(p.NameAlg) &&
		p.Symmetric.Alg == tpm2.TPMAlgNull
}

// isNewAttestationKey takes keys that sign nothing but what the chip itself says, for TPM2_Create.
func isNewAttestationKey(p *wire.Public) bool {
	const never = wire.AdminWithPolicy | wire.EncryptedDuplication | wire.STClear
	return isAttestationKey(p) && cannotLeave(p) && p.Has(wire.SensitiveDataOrigin|wire.UserWithAuth) && !p.HasAny(never) && len(p.AuthPolicy) == 0 &&
		isOneOf(p.KeyBits, 2048, 3072, 4096) && (p.Exponent == 0 || p.Exponent&1 == 1) && isStrongHash(p.NameAlg) && p.Symmetric.Alg == tpm2.TPMAlgNull &&
		isOneOf(p.Scheme, tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS) && isStrongHash(p.SchemeHash)
}

func isAttestationKey(p *wire.Public) bool {
	return p.Type == tpm2.TPMAlgRSA && p.Has(wire.Restricted|wire.Sign) && !p.HasAny(wire.Decrypt)
}

func cannotLeave(p *wire.Public) bool { return p.Has(wire.FixedTPM | wire.FixedParent) }

// canBeDuplicated takes keys that TPM2_Duplicate moves with the policy that they were made with.
func canBeDuplicated(p *wire.Public) bool {
	return !p.HasAny(wire.FixedTPM|wire.FixedParent) && len(p.AuthPolicy) > 0
}

func isNewSecret(p *wire.Public) bool {
	const never = wire.STClear | wire.EncryptedDuplication
	return isSecret(p) && !p.HasAny(never) && isStrongHash(p.NameAlg) && cannotLeave(p)
}

func isSecret(p *wire.Public) bool {
	return p.Type == tpm2.TPMAlgKeyedHash && !p.HasAny(wire.Sign|wire.Decrypt|wire.Restricted) && p.Scheme == tpm2.TPMAlgNull
}

// isOwnersSecret takes secrets that whoever knows their password may see. Those whose lock is the state of the machine, a policy with PCRs in it, are the
// machine's.
func isOwnersSecret(p *wire.Public) bool {
	return isSecret(p) && p.Has(wire.UserWithAuth) && len(p.AuthPolicy) == 0
}

func isUnrestricted(p *wire.Public, alg tpm2.TPMAlgID) bool {
	return p.Type == alg && !p.HasAny(wire.Restricted) && p.HasAny(wire.Sign|wire.Decrypt)
}

func isStrongHash(alg tpm2.TPMAlgID) bool {
	return isOneOf(alg, tpm2.TPMAlgSHA256, tpm2.TPMAlgSHA384, tpm2.TPMAlgSHA512, tpm2.TPMAlgSHA3256, tpm2.TPMAlgSHA3384, tpm2.TPMAlgSHA3512)
}

func isEmptyOrZeros(b []byte, full int) bool {
	return len(b) == 0 || len(b) == full && len(bytes.TrimLeft(b, "\x00")) == 0
}

func isOneOf[T comparable](v T, of ...T) bool { return slices.Contains(of, v) }
