package token

import (
	"crypto/sha1"
	"testing"
)

// A step is one call, and what the specification has it answer.
type step struct {
	want     CKR
	function int
	fields   []field
}

// Functions that no other test calls.
const (
	fnDigestEncryptUpdate = 55
	fnDecryptVerifyUpdate = 58
	fnGenerateKey         = 59
	fnWrapKey             = 61
	fnUnwrapKey           = 62
	fnDeriveKey           = 63
	fnSeedRandom          = 64
	fnGetFunctionStatus   = 66
	fnCancelFunction      = 67
	fnMessageEncryptInit  = 73
	fnMessageVerifyFinal  = 92
)

// What PKCS #11 v2.40 and v3.0 say of each function's states, clause by clause. Each row begins with a session in which nothing is under way.
func TestConformance(t *testing.T) {
	h, _ := newKey(t)
	der := certify(t, &softwareKey(t, 2048).PublicKey).Raw
	setup := h.session()
	private, public := h.one(setup, CKO_PRIVATE_KEY), h.one(setup, CKO_PUBLIC_KEY)
	other := num(h.want(CKR_OK, fnCreateObject, setup, attrs(attribute{CKA_CLASS, number(CKO_DATA)})).number())
	sha256, pkcs, hashed, raw := mech(CKM_SHA256, nil), mech(CKM_RSA_PKCS, nil), mech(CKM_SHA256_RSA_PKCS, nil), mech(CKM_RSA_X_509, nil)

	call := func(want CKR, function int, fields ...field) step { return step{want, function, fields} }
	check, part := sha1.Sum(der), make([]byte, 200) // two of which are more than fits
	certificate := func(more ...attribute) field {
		return attrs(append([]attribute{{CKA_CLASS, number(CKO_CERTIFICATE)}, {CKA_CERTIFICATE_TYPE, number(CKC_X_509)}, {CKA_SUBJECT, []byte("0")}, {CKA_VALUE, der}}, more...)...)
	}
	for clause, steps := range map[string][]step{
		"5.2: a size is asked for, the room is too small, and then it fits": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnSign, str(data), ask()), call(CKR_BUFFER_TOO_SMALL, fnSign, str(data), have(255)),
			call(CKR_OPERATION_ACTIVE, fnSignInit, hashed, private), call(CKR_OK, fnSign, str(data), have(256)), call(CKR_OPERATION_NOT_INITIALIZED, fnSign, str(data), have(256)),
		},
		"5.2: the same in several parts": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnSignUpdate, str(data)), call(CKR_OK, fnSignFinal, ask()), call(CKR_BUFFER_TOO_SMALL, fnSignFinal, have(1)),
			call(CKR_OK, fnSignFinal, have(256)), call(CKR_OPERATION_NOT_INITIALIZED, fnSignFinal, have(256)),
		},
		"5.2: and of a digest": {
			call(CKR_OK, fnDigestInit, sha256), call(CKR_OK, fnDigest, str(data), ask()), call(CKR_BUFFER_TOO_SMALL, fnDigest, str(data), have(31)),
			call(CKR_OK, fnDigest, str(data), have(32)), call(CKR_OPERATION_NOT_INITIALIZED, fnDigestUpdate, str(data)),
		},
		"5.2: a part is not taken when its size is asked for": {
			call(CKR_OK, fnEncryptInit, pkcs, public), call(CKR_OK, fnEncryptUpdate, str(part), ask()), call(CKR_OK, fnEncryptUpdate, str(part), have(0)),
			call(CKR_OK, fnEncryptFinal, have(256)), call(CKR_OK, fnEncryptInit, pkcs, public), call(CKR_OK, fnEncryptUpdate, str(part), ask()),
			call(CKR_OK, fnEncrypt, str(part), have(256)),
		},
		"5.6.5: no state of nothing": {call(CKR_OPERATION_NOT_INITIALIZED, fnGetOperationState, have(100))},
		"5.6.5: no state of a search": {
			call(CKR_OK, fnFindObjectsInit, attrs()), call(CKR_OPERATION_NOT_INITIALIZED, fnGetOperationState, have(100)), call(CKR_OK, fnFindObjectsFinal),
		},
		"5.6.5: none that is given out": {call(CKR_OK, fnDigestInit, sha256), call(CKR_STATE_UNSAVEABLE, fnGetOperationState, ask())},
		"5.6.6: nor taken":              {call(CKR_SAVED_STATE_INVALID, fnSetOperationState, str(data), num(0), num(0))},
		"5.6.7: no key asks for a login of its own": {
			call(CKR_OPERATION_NOT_INITIALIZED, fnLogin, num(CKU_CONTEXT_SPECIFIC), typed(userPIN)), call(CKR_OK, fnSignInit, hashed, private),
			call(CKR_OPERATION_NOT_INITIALIZED, fnLogin, num(CKU_CONTEXT_SPECIFIC), typed(userPIN)),
		},
		"5.6.7: of users there are not": {call(CKR_USER_TYPE_INVALID, fnLogin, num(3), typed(userPIN))},
		"v3.0, 5.6.8: nor have they names": {
			call(CKR_ARGUMENTS_BAD, fnLoginUser, num(CKU_USER), typed(userPIN), typed([]byte("name"))),
			call(CKR_OK, fnLoginUser, num(CKU_USER), typed(userPIN), typed(nil)), call(CKR_USER_ALREADY_LOGGED_IN, fnLogin, num(CKU_USER), typed(userPIN)),
			call(CKR_OK, fnLogout), call(CKR_USER_NOT_LOGGED_IN, fnLogout),
		},
		"5.7: a search in the middle of a signature": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnSignUpdate, str(data)), call(CKR_OK, fnFindObjectsInit, attrs()),
			call(CKR_OPERATION_ACTIVE, fnFindObjectsInit, attrs()), call(CKR_OK, fnFindObjects, num(0)), call(CKR_OK, fnFindObjects, num(1)),
			call(CKR_OK, fnSignFinal, have(256)), call(CKR_OK, fnFindObjectsFinal), call(CKR_OPERATION_NOT_INITIALIZED, fnFindObjects, num(1)),
			call(CKR_OPERATION_NOT_INITIALIZED, fnFindObjectsFinal),
		},
		"5.7.1: a certificate's check value is right, or none": {
			call(CKR_ATTRIBUTE_VALUE_INVALID, fnCreateObject, certificate(attribute{CKA_CHECK_VALUE, []byte{1, 2, 3}})),
			call(CKR_ATTRIBUTE_VALUE_INVALID, fnCreateObject, certificate(attribute{CKA_CHECK_VALUE, check[:4]})),
			call(CKR_OK, fnCreateObject, certificate(attribute{CKA_CHECK_VALUE, check[:3]})), call(CKR_OK, fnCreateObject, certificate(attribute{CKA_CHECK_VALUE, nil})),
		},
		"4.6.3: what certificates may have besides": {
			call(CKR_OK, fnCreateObject, certificate(attribute{CKA_URL, []byte("http://x")}, attribute{CKA_HASH_OF_SUBJECT_PUBLIC_KEY, make([]byte, 20)},
				attribute{CKA_HASH_OF_ISSUER_PUBLIC_KEY, make([]byte, 20)}, attribute{CKA_NAME_HASH_ALGORITHM, number(CKM_SHA_1)},
				attribute{CKA_JAVA_MIDP_SECURITY_DOMAIN, number(uint64(1))})),
			call(CKR_ATTRIBUTE_TYPE_INVALID, fnCreateObject, attrs(attribute{CKA_CLASS, number(CKO_DATA)}, attribute{CKA_NAME_HASH_ALGORITHM, number(CKM_SHA_1)})),
		},
		"5.7.5: what is secret has no length, and the others have theirs": {
			call(CKR_ATTRIBUTE_SENSITIVE, fnGetAttributeValue, private, num(2), num(CKA_PRIVATE_EXPONENT), have(512), num(CKA_MODULUS), have(256)),
			call(CKR_ATTRIBUTE_TYPE_INVALID, fnGetAttributeValue, private, num(2), num(CKA_VALUE), have(512), num(CKA_MODULUS), have(256)),
			call(CKR_BUFFER_TOO_SMALL, fnGetAttributeValue, private, num(2), num(CKA_MODULUS), have(1), num(CKA_CLASS), have(8)),
			call(CKR_OK, fnGetAttributeValue, private, num(0)),
		},
		"5.8.1, 11.1.6: keys that cannot encrypt": {
			call(CKR_KEY_FUNCTION_NOT_PERMITTED, fnEncryptInit, pkcs, private), call(CKR_KEY_FUNCTION_NOT_PERMITTED, fnDecryptInit, pkcs, public),
			call(CKR_KEY_FUNCTION_NOT_PERMITTED, fnSignInit, pkcs, public), call(CKR_KEY_FUNCTION_NOT_PERMITTED, fnVerifyInit, pkcs, private),
		},
		"11.1.6: what is no key": {
			call(CKR_KEY_HANDLE_INVALID, fnEncryptInit, pkcs, other), call(CKR_KEY_HANDLE_INVALID, fnSignInit, pkcs, other),
			call(CKR_OK, fnDigestInit, sha256), call(CKR_KEY_HANDLE_INVALID, fnDigestKey, other), call(CKR_OK, fnDigest, str(data), have(32)),
		},
		"5.10.4: no key of ours is digested, which ends the digest": {
			call(CKR_OPERATION_NOT_INITIALIZED, fnDigestKey, public), call(CKR_OK, fnDigestInit, sha256), call(CKR_KEY_INDIGESTIBLE, fnDigestKey, public),
			call(CKR_OPERATION_NOT_INITIALIZED, fnDigestFinal, have(32)),
		},
		"5.8.2: not all at once after a part, and it goes on": {
			call(CKR_OK, fnEncryptInit, pkcs, public), call(CKR_OK, fnEncryptUpdate, str(data), have(256)), call(CKR_OPERATION_ACTIVE, fnEncrypt, str(data), have(256)),
			call(CKR_OK, fnEncryptFinal, have(256)),
		},
		"5.9.2: nor in decryption": {
			call(CKR_OK, fnDecryptInit, pkcs, private), call(CKR_OK, fnDecryptUpdate, str(data), have(256)), call(CKR_OPERATION_ACTIVE, fnDecrypt, str(data), have(256)),
			call(CKR_ENCRYPTED_DATA_LEN_RANGE, fnDecryptFinal, have(256)),
		},
		"5.10.2: nor in digests": {
			call(CKR_OK, fnDigestInit, sha256), call(CKR_OK, fnDigestUpdate, str(data)), call(CKR_OPERATION_ACTIVE, fnDigest, str(data), have(32)),
			call(CKR_OK, fnDigestFinal, have(32)),
		},
		"5.11.2: nor in signatures": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnSignUpdate, str(data)), call(CKR_OPERATION_ACTIVE, fnSign, str(data), have(256)),
			call(CKR_OK, fnSignFinal, have(256)),
		},
		"5.13.2: nor in verification": {
			call(CKR_OK, fnVerifyInit, hashed, public), call(CKR_OK, fnVerifyUpdate, str(data)), call(CKR_OPERATION_ACTIVE, fnVerify, str(data), str(make([]byte, 256))),
			call(CKR_SIGNATURE_INVALID, fnVerifyFinal, str(make([]byte, 256))),
		},
		"5.8.3: no part after all at once, which ends it": {
			call(CKR_OK, fnEncryptInit, pkcs, public), call(CKR_OK, fnEncrypt, str(data), ask()), call(CKR_OPERATION_ACTIVE, fnEncryptUpdate, str(data), have(256)),
			call(CKR_OPERATION_NOT_INITIALIZED, fnEncrypt, str(data), have(256)),
		},
		"5.10.5: nor its end": {
			call(CKR_OK, fnDigestInit, sha256), call(CKR_BUFFER_TOO_SMALL, fnDigest, str(data), have(1)), call(CKR_OPERATION_ACTIVE, fnDigestFinal, have(32)),
			call(CKR_OPERATION_NOT_INITIALIZED, fnDigest, str(data), have(32)),
		},
		"5.11.3: nor in signatures": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnSign, str(data), ask()), call(CKR_OPERATION_ACTIVE, fnSignUpdate, str(data)),
			call(CKR_OPERATION_NOT_INITIALIZED, fnSignFinal, have(256)),
		},
		"11.1: pointers to nowhere end what they are of": {
			call(CKR_OK, fnDigestInit, sha256), call(CKR_ARGUMENTS_BAD, malformed+fnDigest), call(CKR_OPERATION_NOT_INITIALIZED, fnDigest, str(data), have(32)),
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_ARGUMENTS_BAD, malformed+fnSignUpdate), call(CKR_OPERATION_NOT_INITIALIZED, fnSignUpdate, str(data)),
			call(CKR_OK, fnVerifyInit, hashed, public), call(CKR_ARGUMENTS_BAD, malformed+fnSignFinal), call(CKR_OK, fnVerifyUpdate, str(data)),
			call(CKR_ARGUMENTS_BAD, malformed+fnVerifyFinal), call(CKR_OPERATION_NOT_INITIALIZED, fnVerifyFinal, str(data)),
		},
		"5.7.6: what is sensitive, or does not leave, stays so": {
			call(CKR_ATTRIBUTE_READ_ONLY, fnSetAttributeValue, private, attrs(attribute{CKA_SENSITIVE, boolean(false)})),
			call(CKR_ATTRIBUTE_READ_ONLY, fnSetAttributeValue, private, attrs(attribute{CKA_EXTRACTABLE, boolean(true)})),
			call(CKR_ATTRIBUTE_READ_ONLY, fnSetAttributeValue, private, attrs(attribute{CKA_CLASS, number(CKO_DATA)})),
			call(CKR_ATTRIBUTE_READ_ONLY, fnCopyObject, private, attrs(attribute{CKA_CLASS, number(CKO_DATA)})),
			call(CKR_OK, fnSetAttributeValue, private, attrs(attribute{CKA_SENSITIVE, boolean(true)})),
		},
		"5.9.2: a ciphertext of another length, and a bad one, end it": {
			call(CKR_OK, fnDecryptInit, pkcs, private), call(CKR_ENCRYPTED_DATA_LEN_RANGE, fnDecrypt, str(data), have(256)), call(CKR_OK, fnDecryptInit, pkcs, private),
			call(CKR_ENCRYPTED_DATA_INVALID, fnDecrypt, str(append([]byte{0}, make([]byte, 255)...)), have(256)), call(CKR_OPERATION_NOT_INITIALIZED, fnDecrypt, str(data), have(256)),
		},
		"5.13.2: what is wrong with a signature ends it": {
			call(CKR_OK, fnVerifyInit, hashed, public), call(CKR_SIGNATURE_LEN_RANGE, fnVerify, str(data), str(data)), call(CKR_OK, fnVerifyInit, hashed, public),
			call(CKR_SIGNATURE_INVALID, fnVerify, str(data), str(make([]byte, 256))), call(CKR_OPERATION_NOT_INITIALIZED, fnVerify, str(data), str(data)),
		},
		"5.11.6: signatures with recovery are of one part": {
			call(CKR_OK, fnSignRecoverInit, raw, private), call(CKR_OPERATION_NOT_INITIALIZED, fnSignUpdate, str(data)), call(CKR_OK, fnSignRecover, str(data), have(256)),
			call(CKR_MECHANISM_INVALID, fnSignRecoverInit, hashed, private), call(CKR_OPERATION_NOT_INITIALIZED, fnVerifyRecover, str(make([]byte, 256)), have(256)),
		},
		"5.8.1: a mechanism that is for something else, or has a parameter": {
			call(CKR_MECHANISM_INVALID, fnEncryptInit, hashed, public), call(CKR_MECHANISM_INVALID, fnSignInit, sha256, private),
			call(CKR_MECHANISM_INVALID, fnDigestInit, pkcs), call(CKR_MECHANISM_PARAM_INVALID, fnSignInit, mech(CKM_RSA_PKCS, []byte{1}), private),
			call(CKR_MECHANISM_PARAM_INVALID, fnSignInit, mech(CKM_RSA_PKCS_PSS, nil), private), call(CKR_ARGUMENTS_BAD, fnSignInit, num(0), private),
		},
		"5.14.2: keys of another type are not made of this mechanism": {
			call(CKR_TEMPLATE_INCONSISTENT, fnGenerateKeyPair, mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(bits2048, attribute{CKA_KEY_TYPE, number(uint64(3))}), attrs()),
			call(CKR_TEMPLATE_INCOMPLETE, fnGenerateKeyPair, mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(), attrs()),
			call(CKR_KEY_SIZE_RANGE, fnGenerateKeyPair, mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(attribute{CKA_MODULUS_BITS, number(uint64(512))}), attrs()),
			call(CKR_MECHANISM_INVALID, fnGenerateKeyPair, pkcs, attrs(bits2048), attrs()),
		},
		"5.14: what needs secret keys": {
			call(CKR_FUNCTION_NOT_SUPPORTED, fnGenerateKey, pkcs), call(CKR_FUNCTION_NOT_SUPPORTED, fnWrapKey, pkcs), call(CKR_FUNCTION_NOT_SUPPORTED, fnUnwrapKey, pkcs),
			call(CKR_FUNCTION_NOT_SUPPORTED, fnDeriveKey, pkcs), call(CKR_FUNCTION_NOT_SUPPORTED, fnDigestEncryptUpdate), call(CKR_FUNCTION_NOT_SUPPORTED, fnDecryptVerifyUpdate),
		},
		"5.14: nor do they without a mechanism": {
			call(CKR_ARGUMENTS_BAD, fnGenerateKey, num(0)), call(CKR_ARGUMENTS_BAD, fnWrapKey, num(0)), call(CKR_ARGUMENTS_BAD, fnUnwrapKey, num(0)),
			call(CKR_ARGUMENTS_BAD, fnDeriveKey, num(0)),
		},
		"5.15.1: seeds":             {call(CKR_OK, fnSeedRandom, str(data)), call(CKR_OK, fnSeedRandom, str(nil)), call(CKR_OK, fnGenerateRandom, num(0))},
		"5.16: nothing is parallel": {call(CKR_FUNCTION_NOT_PARALLEL, fnGetFunctionStatus), call(CKR_FUNCTION_NOT_PARALLEL, fnCancelFunction)},
		"v3.0, 5.9: no messages":    {call(CKR_FUNCTION_NOT_SUPPORTED, fnMessageEncryptInit), call(CKR_FUNCTION_NOT_SUPPORTED, fnMessageVerifyFinal)},
		"v3.0, 5.6.9: what is cancelled is over, and what is not goes on": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnDigestInit, sha256), call(CKR_OK, fnSessionCancel, num(CKF_SIGN|CKF_VERIFY)),
			call(CKR_OPERATION_NOT_INITIALIZED, fnSignUpdate, str(data)), call(CKR_OK, fnDigest, str(data), have(32)),
		},
		"5.6.2: a closed session is none": {
			call(CKR_OK, fnSignInit, hashed, private), call(CKR_OK, fnSignUpdate, str(data)), call(CKR_OK, fnCloseSession), call(CKR_SESSION_HANDLE_INVALID, fnSignFinal, have(256)),
			call(CKR_SESSION_HANDLE_INVALID, fnCloseSession), call(CKR_SESSION_HANDLE_INVALID, fnGetFunctionStatus), call(CKR_SESSION_HANDLE_INVALID, fnMessageEncryptInit),
		},
	} {
		t.Run(clause, func(t *testing.T) {
			h.t = t
			session := h.session()
			for _, step := range steps {
				h.want(step.want, step.function, append([]field{session}, step.fields...)...)
			}
			h.call(fnCloseSession, session)
		})
	}
}
