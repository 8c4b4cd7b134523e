package token

import (
	"crypto"
	"encoding/binary"
	"slices"
)

// A padding is how a mechanism makes of data what RSA takes.
type padding uint8

const (
	noPadding padding = iota // CKM_RSA_X_509, or no RSA at all
	pkcs1
	pss
	oaep
)

// A mechanism is a row of the table: what it is for, and of which parts it is made.
type mechanism struct {
	kind    mechanismType
	flags   uint64
	padding padding
	hash    crypto.Hash // that the mechanism computes itself; 0: none
}

// Flags of rows (CK_MECHANISM_INFO, 3.6). CKF_HW is for what the TPM does.
const (
	signs       = CKF_HW | CKF_SIGN | CKF_VERIFY
	recoverable = CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER
	decrypts    = CKF_HW | CKF_ENCRYPT | CKF_DECRYPT
)

// mechanisms is the list that hosts see. It is true: what is not in it is refused, and what is in it works.
var mechanisms = []mechanism{
	{CKM_RSA_PKCS_KEY_PAIR_GEN, CKF_HW | CKF_GENERATE_KEY_PAIR, noPadding, 0},
	{CKM_RSA_PKCS, signs | recoverable | decrypts, pkcs1, 0},
	{CKM_RSA_X_509, signs | recoverable | decrypts, noPadding, 0},
	{CKM_RSA_PKCS_OAEP, decrypts, oaep, 0},
	{CKM_RSA_PKCS_PSS, signs, pss, 0},
	{CKM_SHA1_RSA_PKCS, signs, pkcs1, crypto.SHA1},
	{CKM_SHA224_RSA_PKCS, signs, pkcs1, crypto.SHA224},
	{CKM_SHA256_RSA_PKCS, signs, pkcs1, crypto.SHA256},
	{CKM_SHA384_RSA_PKCS, signs, pkcs1, crypto.SHA384},
	{CKM_SHA512_RSA_PKCS, signs, pkcs1, crypto.SHA512},
	{CKM_SHA1_RSA_PKCS_PSS, signs, pss, crypto.SHA1},
	{CKM_SHA224_RSA_PKCS_PSS, signs, pss, crypto.SHA224},
	{CKM_SHA256_RSA_PKCS_PSS, signs, pss, crypto.SHA256},
	{CKM_SHA384_RSA_PKCS_PSS, signs, pss, crypto.SHA384},
	{CKM_SHA512_RSA_PKCS_PSS, signs, pss, crypto.SHA512},
	{CKM_SHA_1, CKF_DIGEST, noPadding, crypto.SHA1},
	{CKM_SHA224, CKF_DIGEST, noPadding, crypto.SHA224},
	{CKM_SHA256, CKF_DIGEST, noPadding, crypto.SHA256},
	{CKM_SHA384, CKF_DIGEST, noPadding, crypto.SHA384},
	{CKM_SHA512, CKF_DIGEST, noPadding, crypto.SHA512},
}

// Sizes of keys that mechanisms take, in bits.
const (
	minBits  = 1024 // in software
	maxBits  = 4096
	madeBits = 2048 // the smallest that is made
)

func mechanismOf(kind mechanismType) *mechanism {
	i := slices.IndexFunc(mechanisms, func(m mechanism) bool { return m.kind == kind })
	if i < 0 {
		return nil
	}
	return &mechanisms[i]
}

func getMechanismList(_ *token, r *request, out *response) CKR {
	to := r.room()
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	var kinds []mechanismType
	for _, m := range mechanisms {
		kinds = append(kinds, m.kind)
	}
	return list(out, to, kinds)
}

func getMechanismInfo(_ *token, r *request, out *response) CKR {
	m := mechanismOf(mechanismType(r.number()))
	if m == nil || r.bad {
		return CKR_MECHANISM_INVALID
	}
	smallest, largest := uint64(minBits), uint64(maxBits)
	switch {
	case m.flags == CKF_DIGEST:
		smallest, largest = 0, 0
	case m.flags&CKF_GENERATE_KEY_PAIR != 0:
		smallest = madeBits
	}
	out.number(smallest).number(largest).number(m.flags)
	return CKR_OK
}

// A mechanismUse is a CK_MECHANISM as it was passed.
type mechanismUse struct {
	kind       mechanismType
	parameters parameters
	source     []byte // what the parameter of OAEP points to
}

// parameters are the bytes of a parameter structure.
type parameters []byte

func (p parameters) number(i int) uint64 { return binary.NativeEndian.Uint64(p[8*i:]) }

type hashRow struct {
	mechanism mechanismType
	mgf       uint64
	hash      crypto.Hash
}

// hashes are the digest mechanisms, and the mask generation function with the same hash.
var hashes = []hashRow{
	{CKM_SHA_1, CKG_MGF1_SHA1, crypto.SHA1}, {CKM_SHA224, CKG_MGF1_SHA224, crypto.SHA224}, {CKM_SHA256, CKG_MGF1_SHA256, crypto.SHA256},
	{CKM_SHA384, CKG_MGF1_SHA384, crypto.SHA384}, {CKM_SHA512, CKG_MGF1_SHA512, crypto.SHA512},
}

// hashesOf reads the hash and the MGF's hash that a parameter begins with.
func (p parameters) hashesOf() (hash, mgf crypto.Hash, ok bool) {
	for _, h := range hashes {
		if uint64(h.mechanism) == p.number(0) {
			hash = h.hash
		}
		if h.mgf == p.number(1) {
			mgf = h.hash
		}
	}
	return hash, mgf, hash != 0 && mgf != 0
}

// Sizes of CK_RSA_PKCS_PSS_PARAMS (2.1.10) and CK_RSA_PKCS_OAEP_PARAMS (2.1.8) on 64-bit machines.
const (
	pssSize  = 3 * 8
	oaepSize = 5 * 8
)

// pssOf reads the parameter of a PSS mechanism: hash, the MGF's hash and length of the salt.
func (u mechanismUse) pssOf(m *mechanism) (hash, mgf crypto.Hash, salt int, rv CKR) {
	if len(u.parameters) != pssSize {
		return 0, 0, 0, CKR_MECHANISM_PARAM_INVALID
	}
	hash, mgf, ok := u.parameters.hashesOf()
	length := u.parameters.number(2)
	if !ok || m.hash != 0 && m.hash != hash || length > maxBits/8 {
		return 0, 0, 0, CKR_MECHANISM_PARAM_INVALID
	}
	return hash, mgf, int(length), CKR_OK
}

// oaepOf reads the parameter of CKM_RSA_PKCS_OAEP.
func (u mechanismUse) oaepOf() (hash, mgf crypto.Hash, label []byte, rv CKR) {
	if len(u.parameters) != oaepSize {
		return 0, 0, nil, CKR_MECHANISM_PARAM_INVALID
	}
	hash, mgf, ok := u.parameters.hashesOf()
	source := u.parameters.number(2)
	if !ok || source != CKZ_DATA_SPECIFIED && (source != 0 || len(u.source) > 0) {
		return 0, 0, nil, CKR_MECHANISM_PARAM_INVALID
	}
	return hash, mgf, u.source, CKR_OK
}
