package token

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"fmt"
	"slices"
	"testing"

	"tpmkey.example/provider"
)

// Every hash in every place: the hash itself, MGF1 and salts of no bytes, of the hash's length, and the longest.
func TestPSS(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	for _, hash := range hashes {
		digest := sumOf(hash.hash)
		for _, mgf := range hashes {
			for _, salt := range []int{0, hash.hash.Size(), k.Public().Size() - hash.hash.Size() - 2} {
				pss := mech(CKM_RSA_PKCS_PSS, pssParameters(hash.mechanism, mgf.mgf, uint64(salt)))
				h.want(CKR_OK, fnSignInit, s, pss, private)
				signature := h.output(fnSign, s, str(digest))
				h.checkPSS(s, pss, public, digest, signature)
				if mgf.hash != hash.hash {
					continue
				}
				length := salt
				if salt == 0 {
					length = rsa.PSSSaltLengthAuto // how crypto/rsa spells it; verifyPSS is what tells them apart
				}
				if err := rsa.VerifyPSS(k.Public(), hash.hash, digest, signature, &rsa.PSSOptions{SaltLength: length}); err != nil {
					t.Errorf("%v, salt %d: %v", hash.hash, salt, err)
				}
			}
		}
	}
	// A salt of another length is another signature, to none as to some.
	sha256 := func(salt uint64) field {
		return mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, salt))
	}
	digest := sumOf(crypto.SHA256)
	for _, lengths := range [][2]uint64{{0, 32}, {32, 0}, {31, 32}, {33, 32}} {
		h.want(CKR_OK, fnSignInit, s, sha256(lengths[0]), private)
		signature := h.output(fnSign, s, str(digest))
		h.want(CKR_OK, fnVerifyInit, s, sha256(lengths[1]), public)
		h.want(CKR_SIGNATURE_INVALID, fnVerify, s, str(digest), str(signature))
	}
	h.want(CKR_OK, fnSignInit, s, sha256(32), private)
	h.want(CKR_DATA_LEN_RANGE, fnSign, s, str(digest[1:]), have(256))
}

func sumOf(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// checkPSS wants a signature to be good, and bad when anything is another.
func (h *host) checkPSS(s, pss, public field, digest, signature []byte) {
	h.t.Helper()
	verify := func(want CKR, digest, signature []byte) {
		h.t.Helper()
		h.want(CKR_OK, fnVerifyInit, s, pss, public)
		h.want(want, fnVerify, s, str(digest), str(signature))
	}
	verify(CKR_OK, digest, signature)
	for _, i := range []int{0, len(signature) / 2, len(signature) - 1} {
		bad := bytes.Clone(signature)
		bad[i] ^= 1
		verify(CKR_SIGNATURE_INVALID, digest, bad)
	}
	other := bytes.Clone(digest)
	other[0] ^= 1
	verify(CKR_SIGNATURE_INVALID, other, signature)
	verify(CKR_SIGNATURE_LEN_RANGE, digest, signature[1:])
	verify(CKR_DATA_LEN_RANGE, digest[1:], signature)
}

// Mechanisms that hash sign what crypto/rsa verifies, whatever the parts.
func TestHashingMechanisms(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	for _, m := range mechanisms {
		if m.hash == 0 || m.flags&CKF_SIGN == 0 {
			continue
		}
		use := mech(m.kind, nil)
		if m.padding == pss {
			i := slices.IndexFunc(hashes, func(row hashRow) bool { return row.hash == m.hash })
			use = mech(m.kind, pssParameters(hashes[i].mechanism, hashes[i].mgf, 20))
		}
		for cut := range 3 {
			h.want(CKR_OK, fnSignInit, s, use, private)
			h.want(CKR_OK, fnSignUpdate, s, str(data[:cut]))
			h.want(CKR_OK, fnSignUpdate, s, str(data[cut:]))
			h.want(CKR_BUFFER_TOO_SMALL, fnSignFinal, s, have(255))
			signature := h.output(fnSignFinal, s)
			if err := verifies(k, m, signature); err != nil {
				t.Errorf("mechanism %#x: %v", m.kind, err)
			}
			h.want(CKR_OK, fnVerifyInit, s, use, public)
			h.want(CKR_OK, fnVerifyUpdate, s, str(data))
			h.want(CKR_OK, fnVerifyFinal, s, str(signature))
		}
	}
}

func verifies(k *provider.Key, m mechanism, signature []byte) error {
	if m.padding == pss {
		return rsa.VerifyPSS(k.Public(), m.hash, sumOf(m.hash), signature, &rsa.PSSOptions{SaltLength: 20})
	}
	return rsa.VerifyPKCS1v15(k.Public(), m.hash, sumOf(m.hash), signature)
}

// OAEP with every hash, MGF and label, in one part and in several.
func TestOAEP(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	for i, hash := range hashes {
		for j, mgf := range hashes {
			oaep := mech(CKM_RSA_PKCS_OAEP, oaepParameters(hash.mechanism, mgf.mgf, CKZ_DATA_SPECIFIED), data[:i+j]...)
			h.want(CKR_OK, fnEncryptInit, s, oaep, public)
			h.want(CKR_OK, fnEncryptUpdate, s, str(data[:4]), have(0))
			h.want(CKR_OK, fnEncryptUpdate, s, str(data[4:]), have(0))
			h.want(CKR_BUFFER_TOO_SMALL, fnEncryptFinal, s, have(255))
			ciphertext := h.output(fnEncryptFinal, s)
			h.want(CKR_OK, fnDecryptInit, s, oaep, private)
			h.want(CKR_OK, fnDecryptUpdate, s, str(ciphertext[:100]), have(512))
			h.want(CKR_OK, fnDecryptUpdate, s, str(ciphertext[100:]), have(512))
			h.want(CKR_BUFFER_TOO_SMALL, fnDecryptFinal, s, have(3))
			if plaintext := h.output(fnDecryptFinal, s); !bytes.Equal(plaintext, data) {
				t.Errorf("%v, %v: %q", hash.hash, mgf.hash, plaintext)
			}
			most := 256 - 2*hash.hash.Size() - 2
			h.want(CKR_OK, fnEncryptInit, s, oaep, public)
			h.want(CKR_DATA_LEN_RANGE, fnEncrypt, s, str(make([]byte, most+1)), have(512))
			h.want(CKR_OK, fnEncryptInit, s, oaep, public)
			h.want(CKR_OK, fnEncrypt, s, str(make([]byte, most)), have(512))
		}
	}
}

// What was signed comes back from the signature, all of it, and from nothing else.
func TestRecover(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	long := bytes.Repeat([]byte{7}, 256)
	for _, row := range []struct {
		mechanism  mechanismType
		data, want []byte
	}{
		{CKM_RSA_PKCS, data, data},
		{CKM_RSA_PKCS, nil, nil},
		{CKM_RSA_PKCS, []byte{0, 0}, []byte{0, 0}},
		{CKM_RSA_PKCS, long[:245], long[:245]},
		{CKM_RSA_X_509, long, long},
		{CKM_RSA_X_509, []byte{1}, append(make([]byte, 255), 1)},
	} {
		use := mech(row.mechanism, nil)
		h.want(CKR_OK, fnSignRecoverInit, s, use, private)
		h.want(CKR_OPERATION_ACTIVE, fnSignRecoverInit, s, use, private)
		h.want(CKR_BUFFER_TOO_SMALL, fnSignRecover, s, str(row.data), have(255))
		signature := h.output(fnSignRecover, s, str(row.data))
		h.want(CKR_OK, fnVerifyRecoverInit, s, use, public)
		if got := h.output(fnVerifyRecover, s, str(signature)); !bytes.Equal(got, row.want) {
			t.Errorf("%#x: recovered %x", row.mechanism, got)
		}
		h.want(CKR_OPERATION_NOT_INITIALIZED, fnVerifyRecover, s, str(signature), have(256))
	}
	pkcs := mech(CKM_RSA_PKCS, nil)
	for want, signature := range map[CKR][]byte{CKR_SIGNATURE_LEN_RANGE: long[:255], CKR_SIGNATURE_INVALID: long} {
		h.want(CKR_OK, fnVerifyRecoverInit, s, pkcs, public)
		h.want(want, fnVerifyRecover, s, str(signature), have(256))
	}
}

// Operations end by their Init function without a mechanism, and by C_SessionCancel.
func TestCancel(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	for _, row := range []struct {
		init int
		use  field
		key  field
		flag uint64
	}{
		{fnSignInit, mech(CKM_RSA_PKCS, nil), private, CKF_SIGN},
		{fnVerifyInit, mech(CKM_RSA_PKCS, nil), public, CKF_VERIFY},
		{fnEncryptInit, mech(CKM_RSA_PKCS, nil), public, CKF_ENCRYPT},
		{fnDecryptInit, mech(CKM_RSA_PKCS, nil), private, CKF_DECRYPT},
		{fnDigestInit, mech(CKM_SHA256, nil), nil, CKF_DIGEST},
		{fnSignRecoverInit, mech(CKM_RSA_PKCS, nil), private, CKF_SIGN_RECOVER},
		{fnVerifyRecoverInit, mech(CKM_RSA_PKCS, nil), public, CKF_VERIFY_RECOVER},
	} {
		t.Run(fmt.Sprint("function ", row.init), func(t *testing.T) {
			h.t = t
			h.want(CKR_OPERATION_NOT_INITIALIZED, fnGetOperationState, s, have(100))
			h.want(CKR_OK, row.init, s, row.use, row.key)
			h.want(CKR_OPERATION_ACTIVE, row.init, s, row.use, row.key)
			state := CKR_STATE_UNSAVEABLE
			if row.flag&(CKF_SIGN_RECOVER|CKF_VERIFY_RECOVER) != 0 {
				state = CKR_OPERATION_NOT_INITIALIZED
			}
			h.want(state, fnGetOperationState, s, have(100))
			h.want(CKR_OK, row.init, s, num(0), row.key)
			h.want(CKR_ARGUMENTS_BAD, row.init, s, num(0), row.key)
			h.want(CKR_OK, row.init, s, row.use, row.key)
			h.want(CKR_OK, fnSessionCancel, s, num(^uint64(0)&^row.flag))
			h.want(CKR_OPERATION_ACTIVE, row.init, s, row.use, row.key)
			h.want(CKR_OK, fnSessionCancel, s, num(row.flag))
			h.want(CKR_OK, row.init, s, row.use, row.key)
			h.want(CKR_OK, fnSessionCancel, s, num(row.flag))
		})
	}
	h.t = t
	h.want(CKR_OK, fnFindObjectsInit, s, attrs())
	h.want(CKR_OK, fnSessionCancel, s, num(CKF_FIND_OBJECTS))
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnFindObjects, s, num(1))
	h.want(CKR_OK, fnSessionCancel, s, num(CKF_SIGN)) // nothing is under way
	h.want(CKR_SAVED_STATE_INVALID, fnSetOperationState, s, str(data), num(0), num(0))
}

func TestDigestKey(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private := h.one(s, CKO_PRIVATE_KEY)
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnDigestKey, s, private)
	h.want(CKR_OK, fnDigestInit, s, mech(CKM_SHA256, nil))
	h.want(CKR_KEY_HANDLE_INVALID, fnDigestKey, s, num(999))
	h.want(CKR_KEY_INDIGESTIBLE, fnDigestKey, s, private)
}

// C_LoginUser knows no names.
func TestLoginUser(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s := h.session()
	pin := append(num(1), str([]byte("1234"))...)
	none := append(num(0), str(nil)...)
	h.want(CKR_ARGUMENTS_BAD, fnLoginUser, s, num(CKU_USER), pin, append(num(1), str([]byte("alice"))...))
	h.want(CKR_OK, fnLoginUser, s, num(CKU_USER), pin, none)
	h.want(CKR_USER_ALREADY_LOGGED_IN, fnLoginUser, s, num(CKU_USER), pin, none)
}
