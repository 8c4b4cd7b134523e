package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"tpmkey.example/internal/version"
	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

var data = []byte("what is signed")

func TestBeforeInitialize(t *testing.T) {
	l := NewLibrary(nil, nil)
	for function := range functions {
		if functions[function] == nil || function == fnInitialize {
			continue
		}
		answer := &request{rest: l.Call(append(num(function), make([]byte, 256)...))}
		if rv := CKR(answer.number()); rv != CKR_CRYPTOKI_NOT_INITIALIZED {
			t.Errorf("function %d: %v", function, rv)
		}
	}
}

func TestInitialize(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	h.want(CKR_CRYPTOKI_ALREADY_INITIALIZED, fnInitialize, num(0))
	h.want(CKR_ARGUMENTS_BAD, fnFinalize, num(1))
	h.want(CKR_OK, fnFinalize, num(0))
	h.want(CKR_CRYPTOKI_NOT_INITIALIZED, fnFinalize, num(0))
	const canNotMakeThreads = 1
	for _, row := range []struct {
		callbacks, flags, reserved int
		want                       CKR
	}{
		{0, 0, 0, CKR_OK},
		{0, int(CKF_OS_LOCKING_OK), 0, CKR_OK},
		{0, int(CKF_OS_LOCKING_OK) | canNotMakeThreads, 0, CKR_OK}, // p11-kit
		{4, int(CKF_OS_LOCKING_OK), 0, CKR_OK},
		{4, 0, 0, CKR_CANT_LOCK},
		{3, int(CKF_OS_LOCKING_OK), 0, CKR_ARGUMENTS_BAD},
		{0, 0, 1, CKR_ARGUMENTS_BAD},
	} {
		h.want(row.want, fnInitialize, num(1), num(row.callbacks), num(row.flags), num(row.reserved))
		h.call(fnFinalize, num(0))
	}
}

// Everything public works without a TPM, and a store that is not there is an empty, quiet token.
func TestEmptyToken(t *testing.T) {
	h := newHost(t, "/dev/null/keys", "")
	slots := h.want(CKR_OK, fnGetSlotList, num(1), ask())
	if slots.number() != 1 {
		t.Error("not one slot")
	}
	h.want(CKR_BUFFER_TOO_SMALL, fnGetSlotList, num(1), have(0))
	for _, function := range []int{fnGetSlotInfo, fnGetTokenInfo} {
		h.want(CKR_OK, function, num(slotID))
		h.want(CKR_SLOT_ID_INVALID, function, num(7))
	}
	info := h.want(CKR_OK, fnGetInfo, num(3), num(0)).rest
	if major, minor := version.MajorMinor(); !bytes.HasSuffix(info, slices.Concat(num(major), num(minor))) {
		t.Errorf("the library's version in %x is not %d.%d", info, major, minor)
	}
	h.want(CKR_SESSION_PARALLEL_NOT_SUPPORTED, fnOpenSession, num(slotID), num(0))
	s := h.session()
	if found := h.find(s); len(found) != 0 {
		t.Errorf("%d objects", len(found))
	}
	h.want(CKR_OK, fnLogin, s, num(CKU_USER), num(1), str([]byte("any")))
	h.want(CKR_USER_ALREADY_LOGGED_IN, fnLogin, s, num(CKU_USER), num(0), str(nil))
	h.want(CKR_USER_TYPE_INVALID, fnLogin, s, num(CKU_SO), num(0), str(nil))
	h.want(CKR_OK, fnLogout, s)
	h.want(CKR_USER_NOT_LOGGED_IN, fnLogout, s)
	a, b := h.want(CKR_OK, fnGenerateRandom, s, num(16)).bytes(), h.want(CKR_OK, fnGenerateRandom, s, num(16)).bytes()
	if len(a) != 16 || bytes.Equal(a, b) {
		t.Errorf("random %x %x", a, b)
	}
	h.want(CKR_NO_EVENT, fnWaitForSlotEvent, num(0))
	h.want(CKR_ARGUMENTS_BAD, fnWaitForSlotEvent, num(1))
	bits := attribute{CKA_MODULUS_BITS, number(uint64(2048))}
	onToken := attribute{CKA_TOKEN, boolean(true)}
	h.want(CKR_GENERAL_ERROR, fnGenerateKeyPair, s, mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(bits), attrs(onToken))
	if len(h.log) != 2 || !strings.Contains(h.log[0], "/dev/null/keys") || !strings.Contains(h.log[1], "C_GenerateKeyPair") {
		t.Errorf("log %q", h.log)
	}
	h = newHost(t, t.TempDir(), "") // no TPM, with a store
	h.want(CKR_DEVICE_REMOVED, fnGenerateKeyPair, h.session(), mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(bits), attrs(onToken))
}

// A closed or made-up handle is refused by every function that takes one.
func TestBadHandles(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	closed := h.session()
	h.want(CKR_OK, fnCloseSession, closed)
	h.session() // a handle is not given out again
	for _, session := range []field{closed, num(0), num(999), num(-1)} {
		for function := range sessionFunctions {
			if rv, answer := h.call(function, session, make([]byte, 200)); rv != CKR_SESSION_HANDLE_INVALID || len(answer.rest) > 0 {
				t.Errorf("function %d: %v, and %d bytes", function, rv, len(answer.rest))
			}
		}
	}
	s := h.session()
	h.want(CKR_OK, fnCloseAllSessions, num(slotID))
	h.want(CKR_SESSION_HANDLE_INVALID, fnGetSessionInfo, s)
}

// sessionFunctions take a session handle first.
var sessionFunctions = func() map[int]bool {
	m := map[int]bool{}
	for function := range functions {
		if functions[function] != nil && function > fnGetMechanismInfo && !slices.Contains([]int{fnInitToken, fnOpenSession, fnCloseAllSessions, fnWaitForSlotEvent}, function) {
			m[function] = true
		}
	}
	return m
}()

func TestAttributes(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	for _, row := range []struct {
		object field
		kind   attributeType
		want   []byte
	}{
		{private, CKA_LABEL, []byte("demo")},
		{public, CKA_LABEL, []byte("demo")},
		{private, CKA_ID, k.ID()},
		{public, CKA_ID, k.ID()},
		{private, CKA_MODULUS, k.Public().N.Bytes()},
		{public, CKA_MODULUS, k.Public().N.Bytes()},
		{private, CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}},
		{public, CKA_MODULUS_BITS, number(uint64(2048))},
		{private, CKA_KEY_TYPE, number(CKK_RSA)},
		{private, CKA_SIGN, boolean(true)},
		{private, CKA_DECRYPT, boolean(true)},
		{private, CKA_UNWRAP, boolean(false)},
		{private, CKA_PRIVATE, boolean(false)},
		{private, CKA_SENSITIVE, boolean(true)},
		{private, CKA_EXTRACTABLE, boolean(false)},
		{private, CKA_NEVER_EXTRACTABLE, boolean(true)},
		{private, CKA_ALWAYS_AUTHENTICATE, boolean(false)},
		{private, CKA_SUBJECT, nil},
	} {
		answer := h.want(CKR_OK, fnGetAttributeValue, s, row.object, num(1), num(row.kind), have(4096))
		if size, got := filled(answer); size != uint64(len(row.want)) || !bytes.Equal(got, row.want) {
			t.Errorf("attribute %#x: %x, want %x", row.kind, got, row.want)
		}
	}
	// Every attribute gets its length, whatever is wrong with another (5.7).
	answer := h.want(CKR_ATTRIBUTE_SENSITIVE, fnGetAttributeValue, s, private, num(5),
		num(CKA_PRIVATE_EXPONENT), have(512), num(CKA_ID), ask(), num(CKA_LABEL), have(2), num(CKA_LABEL), have(4), num(attributeType(0x12345)), have(4))
	for i, want := range []uint64{unavailable, 20, unavailable, 4, unavailable} {
		if size, _ := filled(answer); size != want {
			t.Errorf("attribute %d has length %d, not %d", i, int64(size), int64(want))
		}
	}
	h.want(CKR_BUFFER_TOO_SMALL, fnGetAttributeValue, s, private, num(1), num(CKA_LABEL), have(2))
	h.want(CKR_ATTRIBUTE_TYPE_INVALID, fnGetAttributeValue, s, private, num(1), num(CKA_MODULUS_BITS), ask())
	h.want(CKR_OBJECT_HANDLE_INVALID, fnGetAttributeValue, s, num(77), num(1), num(CKA_LABEL), ask())
}

func TestFind(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	for _, row := range []struct {
		template template
		want     int
	}{
		{nil, 2},
		{template{{CKA_CLASS, number(CKO_PRIVATE_KEY)}}, 1},
		{template{{CKA_ID, k.ID()}}, 2},
		{template{{CKA_ID, k.ID()}, {CKA_SIGN, boolean(true)}}, 1},
		{template{{CKA_LABEL, []byte("other")}}, 0},
		{template{{attributeType(0x80000001), []byte{1}}}, 0},    // a vendor's attribute
		{template{{CKA_CLASS, number(uint64(0xce534353))}}, 0},   // CKO_NSS_TRUST
		{template{{CKA_PRIVATE_EXPONENT, []byte{1}}}, 0},         // nobody may guess at it
		{template{{CKA_PRIVATE, boolean(false)}}, 2},             // seen without a login
		{template{{CKA_CLASS, number(CKO_CERTIFICATE)}}, 0},      // there is none
		{template{{CKA_TOKEN, boolean(true)}, {CKA_ID, nil}}, 0}, // an empty id is no joker
		{template{{CKA_CLASS, []byte{3}}}, 0},                    // of the wrong size
		{template{{CKA_KEY_TYPE, number(CKK_RSA)}, {CKA_ID, k.ID()}}, 2},
	} {
		if found := h.find(s, row.template...); len(found) != row.want {
			t.Errorf("%v: %d objects, want %d", row.template, len(found), row.want)
		}
	}
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnFindObjects, s, num(1))
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnFindObjectsFinal, s)
	h.want(CKR_OK, fnFindObjectsInit, s, attrs())
	h.want(CKR_OPERATION_ACTIVE, fnFindObjectsInit, s, attrs())
	for _, want := range []uint64{1, 1, 0} { // one at a time, as ssh asks
		answer := h.want(CKR_OK, fnFindObjects, s, num(1))
		if n := answer.number(); n != want {
			t.Errorf("%d objects, want %d", n, want)
		}
	}
}

// pssParameters is a CK_RSA_PKCS_PSS_PARAMS.
func pssParameters(hash mechanismType, mgf, salt uint64) []byte {
	return slices.Concat(number(hash), number(mgf), number(salt))
}

func digestInfo(digest [32]byte) []byte {
	return append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, digest[:]...)
}

// Each signing mechanism, in one part and in two, against crypto/rsa and against our own verification.
func TestSign(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	digest := sha256.Sum256(data)
	for _, row := range []struct {
		name      string
		mechanism field
		data      []byte
		verify    func(signature []byte) error
	}{
		{"CKM_RSA_PKCS", mech(CKM_RSA_PKCS, nil), digestInfo(digest), func(b []byte) error { return rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, digest[:], b) }},
		{"CKM_RSA_PKCS, no DigestInfo", mech(CKM_RSA_PKCS, nil), data, func(b []byte) error { return rsa.VerifyPKCS1v15(k.Public(), 0, data, b) }},
		{"CKM_SHA256_RSA_PKCS", mech(CKM_SHA256_RSA_PKCS, nil), data, func(b []byte) error { return rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, digest[:], b) }},
		{"CKM_RSA_PKCS_PSS", mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 20)), digest[:],
			func(b []byte) error {
				return rsa.VerifyPSS(k.Public(), crypto.SHA256, digest[:], b, &rsa.PSSOptions{SaltLength: 20})
			}},
		{"CKM_SHA256_RSA_PKCS_PSS", mech(CKM_SHA256_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 32)), data,
			func(b []byte) error {
				return rsa.VerifyPSS(k.Public(), crypto.SHA256, digest[:], b, &rsa.PSSOptions{SaltLength: 32})
			}},
		{"CKM_SHA512_RSA_PKCS", mech(CKM_SHA512_RSA_PKCS, nil), data, nil},
		{"CKM_SHA384_RSA_PKCS_PSS", mech(CKM_SHA384_RSA_PKCS_PSS, pssParameters(CKM_SHA384, CKG_MGF1_SHA384, 48)), data, nil},
		{"CKM_SHA224_RSA_PKCS", mech(CKM_SHA224_RSA_PKCS, nil), data, nil},
		{"CKM_SHA1_RSA_PKCS", mech(CKM_SHA1_RSA_PKCS, nil), data, nil},
		{"CKM_RSA_X_509", mech(CKM_RSA_X_509, nil), data, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.t = t
			h.want(CKR_OK, fnSignInit, s, row.mechanism, private)
			whole := h.output(fnSign, s, str(row.data))
			if row.verify != nil {
				if err := row.verify(whole); err != nil {
					t.Error(err)
				}
			}
			h.want(CKR_OK, fnSignInit, s, row.mechanism, private)
			h.want(CKR_OK, fnSignUpdate, s, str(row.data[:5]))
			h.want(CKR_OK, fnSignUpdate, s, str(row.data[5:]))
			parts := h.output(fnSignFinal, s)
			for _, signature := range [][]byte{whole, parts} {
				h.want(CKR_OK, fnVerifyInit, s, row.mechanism, public)
				h.want(CKR_OK, fnVerify, s, str(row.data), str(signature))
				h.want(CKR_OK, fnVerifyInit, s, row.mechanism, public)
				h.want(CKR_OK, fnVerifyUpdate, s, str(row.data))
				h.want(CKR_OK, fnVerifyFinal, s, str(signature))
				h.want(CKR_OK, fnVerifyInit, s, row.mechanism, public)
				h.want(CKR_SIGNATURE_LEN_RANGE, fnVerify, s, str(row.data), str(signature[1:]))
				signature[100] ^= 1
				h.want(CKR_OK, fnVerifyInit, s, row.mechanism, public)
				h.want(CKR_SIGNATURE_INVALID, fnVerify, s, str(row.data), str(signature))
			}
		})
	}
}

// Sizes are told without the TPM and leave the operation as it was; an error ends it.
func TestSignSizes(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private := h.one(s, CKO_PRIVATE_KEY)
	chip := h.library.provider()
	h.library.keys = provider.Open(nil, nil) // whoever dials now panics
	pkcs := mech(CKM_RSA_PKCS, nil)
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnSign, s, str(data), ask())
	h.want(CKR_OK, fnSignInit, s, pkcs, private)
	h.want(CKR_OPERATION_ACTIVE, fnSignInit, s, pkcs, private)
	for _, room := range []field{ask(), have(255), have(0)} {
		_, answer := h.call(fnSign, s, str(data), room)
		if size, b := filled(answer); size != 256 || len(b) != 0 {
			t.Errorf("size %d, %d bytes", size, len(b))
		}
	}
	h.library.keys = chip
	if signature := h.output(fnSign, s, str(data)); len(signature) != 256 {
		t.Errorf("%d bytes", len(signature))
	}
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnSign, s, str(data), have(256))
	h.want(CKR_OK, fnSignInit, s, pkcs, private)
	h.want(CKR_DATA_LEN_RANGE, fnSign, s, str(make([]byte, 246)), have(256))
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnSign, s, str(data), have(256))
	h.want(CKR_OK, fnSignInit, s, pkcs, private)
	h.want(CKR_OK, fnSignUpdate, s, str(make([]byte, 100000)))
	h.want(CKR_DATA_LEN_RANGE, fnSignFinal, s, have(256))
	raw := mech(CKM_RSA_X_509, nil)
	h.want(CKR_OK, fnSignInit, s, raw, private)
	h.want(CKR_DATA_LEN_RANGE, fnSign, s, str(make([]byte, 257)), have(256))
	h.want(CKR_OK, fnSignInit, s, raw, private)
	h.want(CKR_DATA_INVALID, fnSign, s, str(bytes.Repeat([]byte{255}, 256)), have(256))
}

func TestMechanismErrors(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	good := pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 32)
	for _, row := range []struct {
		function int
		fields   []field
		want     CKR
	}{
		{fnSignInit, []field{mech(CKM_SHA256, nil), private}, CKR_MECHANISM_INVALID},
		{fnSignInit, []field{mech(0x1041, nil), private}, CKR_MECHANISM_INVALID}, // CKM_ECDSA
		{fnSignInit, []field{mech(CKM_RSA_PKCS_OAEP, nil), private}, CKR_MECHANISM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS, nil), public}, CKR_KEY_FUNCTION_NOT_PERMITTED},
		{fnSignInit, []field{mech(CKM_RSA_PKCS, nil), num(55)}, CKR_KEY_HANDLE_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS, []byte{1}), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS_PSS, nil), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS_PSS, good[1:]), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA256, 0, 32)), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 223)), private}, CKR_MECHANISM_PARAM_INVALID}, // 222 fit
		{fnVerifyInit, []field{mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA512, CKG_MGF1_SHA256, 191)), public}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS_PSS, pssParameters(0x999, CKG_MGF1_SHA1, 32)), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 1<<63)), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignInit, []field{mech(CKM_SHA512_RSA_PKCS_PSS, good), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnSignRecoverInit, []field{mech(CKM_SHA256_RSA_PKCS, nil), private}, CKR_MECHANISM_INVALID},
		{fnVerifyRecoverInit, []field{mech(CKM_RSA_PKCS, nil), private}, CKR_KEY_FUNCTION_NOT_PERMITTED},
		{fnSignInit, []field{num(0), private}, CKR_ARGUMENTS_BAD}, // no mechanism, and nothing to end
		{fnVerifyInit, []field{mech(CKM_RSA_PKCS, nil), private}, CKR_KEY_FUNCTION_NOT_PERMITTED},
		{fnDecryptInit, []field{mech(CKM_RSA_PKCS_PSS, good), private}, CKR_MECHANISM_INVALID},
		{fnDecryptInit, []field{mech(CKM_RSA_PKCS_OAEP, good), private}, CKR_MECHANISM_PARAM_INVALID},
		{fnDigestInit, []field{mech(CKM_RSA_PKCS, nil)}, CKR_MECHANISM_INVALID},
		{fnSignInit, []field{num(1), num(CKM_RSA_PKCS)}, CKR_ARGUMENTS_BAD},
		{fnSignInit, []field{num(1), num(CKM_RSA_PKCS), num(1 << 62)}, CKR_ARGUMENTS_BAD},
	} {
		h.want(row.want, row.function, append([]field{s}, row.fields...)...)
	}
	if len(h.log) > 0 {
		t.Errorf("log %q", h.log)
	}
}

// oaepParameters is a CK_RSA_PKCS_OAEP_PARAMS, whose pointer means nothing here.
func oaepParameters(hash mechanismType, mgf, source uint64) []byte {
	return slices.Concat(number(hash), number(mgf), number(source), make([]byte, 16))
}

func TestDecrypt(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	for _, row := range []struct {
		name      string
		mechanism field
	}{
		{"CKM_RSA_PKCS", mech(CKM_RSA_PKCS, nil)},
		{"CKM_RSA_PKCS_OAEP", mech(CKM_RSA_PKCS_OAEP, oaepParameters(CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED))},
		{"… without a source", mech(CKM_RSA_PKCS_OAEP, oaepParameters(CKM_SHA_1, CKG_MGF1_SHA1, 0))},
		{"… with a label", mech(CKM_RSA_PKCS_OAEP, oaepParameters(CKM_SHA_1, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED), 'a', 'b')},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.t = t
			h.want(CKR_OK, fnEncryptInit, s, row.mechanism, public)
			ciphertext := h.output(fnEncrypt, s, str(data))
			h.want(CKR_OK, fnDecryptInit, s, row.mechanism, private)
			if size, _ := filled(h.want(CKR_OK, fnDecrypt, s, str(ciphertext), ask())); size < uint64(len(data)) {
				t.Errorf("at most %d bytes", size)
			}
			if size, _ := filled(h.want(CKR_BUFFER_TOO_SMALL, fnDecrypt, s, str(ciphertext), have(3))); size != uint64(len(data)) {
				t.Errorf("%d bytes", size)
			}
			_, plaintext := filled(h.want(CKR_OK, fnDecrypt, s, str(ciphertext), have(len(data))))
			if !bytes.Equal(plaintext, data) {
				t.Errorf("%q", plaintext)
			}
			h.want(CKR_OPERATION_NOT_INITIALIZED, fnDecrypt, s, str(ciphertext), have(256))
			h.want(CKR_OK, fnDecryptInit, s, row.mechanism, private)
			h.want(CKR_ENCRYPTED_DATA_LEN_RANGE, fnDecrypt, s, str(ciphertext[1:]), have(256))
			h.want(CKR_OK, fnDecryptInit, s, row.mechanism, private)
			ciphertext[255] ^= 1
			if rv, _ := h.call(fnDecrypt, s, str(ciphertext), have(256)); rv != CKR_ENCRYPTED_DATA_INVALID {
				t.Errorf("damaged: %v, %q", rv, h.log)
			}
		})
	}
	t.Run("CKM_RSA_X_509", func(t *testing.T) {
		h.t = t
		h.want(CKR_OK, fnDecryptInit, s, mech(CKM_RSA_X_509, nil), private)
		plaintext := h.output(fnDecrypt, s, str(bytes.Repeat([]byte{1}, 256)))
		h.want(CKR_OK, fnEncryptInit, s, mech(CKM_RSA_X_509, nil), public)
		if again := h.output(fnEncrypt, s, str(plaintext)); !bytes.Equal(again, bytes.Repeat([]byte{1}, 256)) {
			t.Errorf("%x", again)
		}
		h.want(CKR_OK, fnDecryptInit, s, mech(CKM_RSA_X_509, nil), private)
		h.want(CKR_ENCRYPTED_DATA_INVALID, fnDecrypt, s, str(k.Public().N.Bytes()), have(256))
	})
}

func TestDigest(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s := h.session()
	want := sha256.Sum256(data)
	h.want(CKR_OK, fnDigestInit, s, mech(CKM_SHA256, nil))
	if size, _ := filled(h.want(CKR_OK, fnDigest, s, str(data), ask())); size != 32 {
		t.Errorf("size %d", size)
	}
	if got := h.output(fnDigest, s, str(data)); !bytes.Equal(got, want[:]) {
		t.Errorf("%x", got)
	}
	h.want(CKR_OK, fnDigestInit, s, mech(CKM_SHA256, nil))
	h.want(CKR_OK, fnDigestUpdate, s, str(data[:3]))
	h.want(CKR_OK, fnDigestUpdate, s, str(data[3:]))
	h.want(CKR_BUFFER_TOO_SMALL, fnDigestFinal, s, have(31))
	if got := h.output(fnDigestFinal, s); !bytes.Equal(got, want[:]) {
		t.Errorf("%x", got)
	}
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnDigestFinal, s, have(32))
}

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, dir, tpmtest.SWTPM(t))
	s := h.session()
	keyGen := mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil)
	bits := attribute{CKA_MODULUS_BITS, number(uint64(2048))}
	onToken := attribute{CKA_TOKEN, boolean(true)}
	label := attribute{CKA_LABEL, []byte("web")}
	for _, row := range []struct {
		name            string
		public, private template
		want            CKR
	}{
		{"no size", template{}, template{onToken}, CKR_TEMPLATE_INCOMPLETE},
		{"too small", template{{CKA_MODULUS_BITS, number(uint64(1024))}}, template{onToken}, CKR_KEY_SIZE_RANGE},
		{"more than the chip has", template{{CKA_MODULUS_BITS, number(uint64(4096))}}, template{onToken}, CKR_KEY_SIZE_RANGE},
		{"a size of four bytes", template{{CKA_MODULUS_BITS, []byte{0, 8, 0, 0}}}, template{onToken}, CKR_ATTRIBUTE_VALUE_INVALID},
		{"extractable", template{bits}, template{onToken, {CKA_EXTRACTABLE, boolean(true)}}, CKR_TEMPLATE_INCONSISTENT},
		{"not sensitive", template{bits}, template{onToken, {CKA_SENSITIVE, boolean(false)}}, CKR_TEMPLATE_INCONSISTENT},
		{"another exponent", template{bits, {CKA_PUBLIC_EXPONENT, []byte{4}}}, template{onToken}, CKR_ATTRIBUTE_VALUE_INVALID},
		{"a modulus", template{bits, {CKA_MODULUS, make([]byte, 256)}}, template{onToken}, CKR_ATTRIBUTE_READ_ONLY},
		{"an unknown attribute", template{bits}, template{onToken, {0x80001234, nil}}, CKR_ATTRIBUTE_TYPE_INVALID},
		{"another class", template{bits, {CKA_CLASS, number(CKO_PRIVATE_KEY)}}, template{onToken}, CKR_TEMPLATE_INCONSISTENT},
		{"two labels in one", template{bits, label, {CKA_LABEL, []byte("other")}}, template{onToken}, CKR_TEMPLATE_INCONSISTENT},
		{"a truth of two bytes", template{bits}, template{{CKA_TOKEN, []byte{1, 0}}}, CKR_ATTRIBUTE_VALUE_INVALID},
		{"a truth of 2", template{bits}, template{onToken, {CKA_SIGN, []byte{2}}}, CKR_ATTRIBUTE_VALUE_INVALID},
		{"a size in the private part", template{bits}, template{onToken, bits}, CKR_ATTRIBUTE_TYPE_INVALID},
		{"more than an object may hold", template{bits, {CKA_SUBJECT, make([]byte, mostValue)}}, template{onToken}, CKR_DEVICE_MEMORY},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.t = t
			h.want(row.want, fnGenerateKeyPair, s, keyGen, attrs(row.public...), attrs(row.private...))
		})
	}
	h.t = t
	readOnly := num(h.want(CKR_OK, fnOpenSession, num(slotID), num(CKF_SERIAL_SESSION)).number())
	h.want(CKR_SESSION_READ_ONLY, fnGenerateKeyPair, readOnly, keyGen, attrs(bits), attrs(onToken))
	h.want(CKR_MECHANISM_INVALID, fnGenerateKeyPair, s, mech(CKM_RSA_PKCS, nil), attrs(bits), attrs(onToken))
	noFiles(t, dir)

	exponent := attribute{CKA_PUBLIC_EXPONENT, []byte{0, 1, 0, 1}}
	answer := h.want(CKR_OK, fnGenerateKeyPair, s, keyGen, attrs(bits, label, exponent), attrs(onToken, label, attribute{CKA_SENSITIVE, boolean(true)}))
	public, private := num(answer.number()), num(answer.number())
	h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
	h.output(fnSign, s, str(data))
	if len(h.find(s, label)) != 2 || !bytes.Equal(h.one(s, CKO_PUBLIC_KEY), public) {
		t.Error("the new key is not found under its handles")
	}
	// A label that is taken, and one that is no file's name: the file is named after the id, the label stays.
	id := attribute{CKA_ID, []byte{0xab, 0xcd}}
	h.want(CKR_OK, fnGenerateKeyPair, s, keyGen, attrs(bits, label, id), attrs(onToken))
	h.want(CKR_OK, fnGenerateKeyPair, s, keyGen, attrs(bits), attrs(onToken, attribute{CKA_LABEL, []byte("a/b")}))
	if len(h.find(s, label)) != 4 || len(h.find(s, id)) != 2 || len(h.find(s, attribute{CKA_LABEL, []byte("a/b")})) != 2 {
		t.Error("labels or ids are not what they were to be")
	}
	h.want(CKR_SESSION_READ_ONLY, fnDestroyObject, readOnly, private)
	h.want(CKR_OK, fnDestroyObject, s, public)
	h.want(CKR_OBJECT_HANDLE_INVALID, fnDestroyObject, s, public)
	h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
	h.output(fnSign, s, str(data))
	h.want(CKR_OK, fnDestroyObject, s, private)
	h.want(CKR_OBJECT_HANDLE_INVALID, fnDestroyObject, s, private)
	if len(h.find(s, label)) != 2 {
		t.Error("the key that was destroyed is still there")
	}
}

func noFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Threads with sessions of their own sign at the same time; closing the session or the library under them does no harm.
func TestThreads(t *testing.T) {
	h, k := newKey(t)
	digest := sha256.Sum256(data)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := h.session()
			private := h.one(s, CKO_PRIVATE_KEY)
			for range 5 {
				h.want(CKR_OK, fnSignInit, s, mech(CKM_SHA256_RSA_PKCS, nil), private)
				if err := rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, digest[:], h.output(fnSign, s, str(data))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	allowed := []CKR{CKR_OK, CKR_SESSION_HANDLE_INVALID, CKR_OPERATION_NOT_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_DEVICE_REMOVED, CKR_KEY_HANDLE_INVALID, CKR_GENERAL_ERROR}
	s := h.session()
	private := h.one(s, CKO_PRIVATE_KEY)
	wg.Go(func() {
		for range 20 {
			h.call(fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
			if rv, _ := h.call(fnSign, s, str(data), have(256)); !slices.Contains(allowed, rv) {
				t.Errorf("sign while closing: %v", rv)
			}
		}
	})
	h.call(fnCloseSession, s)
	h.call(fnFinalize, num(0))
	wg.Wait()
	for _, line := range h.log {
		if strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
}

// The mechanism list is what the mechanism table says, and every mechanism has its info.
func TestMechanismList(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	answer := h.want(CKR_OK, fnGetMechanismList, num(slotID), have(100))
	answer.number()
	for range answer.number() {
		kind := answer.number()
		info := h.want(CKR_OK, fnGetMechanismInfo, num(slotID), num(kind))
		smallest, largest, flags := info.number(), info.number(), info.number()
		if smallest > largest || flags == 0 {
			t.Errorf("mechanism %#x: %d to %d, flags %#x", kind, smallest, largest, flags)
		}
	}
	h.want(CKR_MECHANISM_INVALID, fnGetMechanismInfo, num(slotID), num(0x1041))
	h.want(CKR_SLOT_ID_INVALID, fnGetMechanismList, num(2), ask())
	h.want(CKR_SLOT_ID_INVALID, fnGetMechanismList, num(2), ask())
}

func join(fields ...field) (b []byte) {
	for _, f := range fields {
		b = append(b, f...)
	}
	return b
}

// Whatever a host sends: an answer, never a panic.
func FuzzCall(f *testing.F) {
	dir := f.TempDir()
	writeKey(f, dir)
	f.Add(uint16(fnSign), join(str(data)))
	f.Add(uint16(fnFindObjectsInit), join(attrs(attribute{CKA_CLASS, number(CKO_PRIVATE_KEY)})))
	f.Add(uint16(fnSignInit), join(mech(CKM_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 32)), num(1)))
	f.Add(uint16(fnDecryptInit), join(mech(CKM_RSA_PKCS_OAEP, oaepParameters(CKM_SHA256, CKG_MGF1_SHA256, 1)), num(1)))
	f.Add(uint16(fnGenerateKeyPair), join(mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(), attrs()))
	f.Add(uint16(fnCreateObject), join(attrs(ofClass(CKO_DATA), attribute{CKA_VALUE, data})))
	f.Add(uint16(fnCreateObject), join(attrs(attribute{CKA_MODULUS, data}, ofClass(CKO_PUBLIC_KEY), attribute{CKA_PUBLIC_EXPONENT, []byte{3}}, attribute{CKA_KEY_TYPE, number(CKK_RSA)})))
	f.Add(uint16(fnInitToken), join(num(1), typed(soPIN), tokenName("x")))
	f.Add(uint16(fnSetPIN), join(typed(soPIN), typed(userPIN)))
	f.Add(uint16(fnCopyObject), join(num(1), attrs(named("x"))))
	f.Add(uint16(fnSetAttributeValue), join(num(2), attrs(named("x"))))
	f.Add(uint16(fnVerifyRecoverInit), join(mech(CKM_RSA_PKCS, nil), num(2)))
	f.Add(uint16(fnSessionCancel), join(num(-1)))
	f.Add(uint16(fnGetAttributeValue), join(num(1), num(2), num(CKA_ID), ask(), num(CKA_LABEL), have(3)))
	f.Fuzz(func(t *testing.T, function uint16, rest []byte) {
		if function == fnGenerateRandom && len(rest) >= 8 && binary.NativeEndian.Uint64(rest) <= mostRandom {
			return // it only takes time
		}
		defer os.RemoveAll(dir + "/" + storedDir)
		h := newHost(t, dir, "")
		s := h.session()
		h.find(s)
		h.call(fnSignInit, s, mech(CKM_SHA256_RSA_PKCS, nil), num(1))
		answer := h.library.Call(slices.Concat(num(int(function)), s, rest))
		h.library.Call(append(num(int(function)), rest...))
		if len(answer) < 8 {
			t.Errorf("an answer of %d bytes", len(answer))
		}
		for _, line := range h.log {
			if strings.Contains(line, "panic") {
				t.Error(line)
			}
		}
	})
}

// writeKey puts a key file into a directory whose private part nothing can load.
func writeKey(t testing.TB, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/demo.pem", tpmtest.KeyFile(t, tpmtest.RSATemplate(), &key.PublicKey, tpmtest.OwnerParent), 0o600); err != nil {
		t.Fatal(err)
	}
}
