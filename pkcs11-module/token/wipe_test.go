package token

import (
	"bytes"
	"slices"
	"testing"
)

// isWiped tells whether there is nothing in b but zeros.
func isWiped(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// What a host says is wiped when it has its answer, and what it needs later is not.
func TestRequestsAreWiped(t *testing.T) {
	h, _ := newKey(t)
	s := h.session()
	private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
	oaep := mech(CKM_RSA_PKCS_OAEP, oaepParameters(CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED), []byte("a label")...)
	for _, parts := range [][]field{
		{num(fnLogin), s, num(CKU_USER), typed(userPIN)},
		{num(fnLogin), num(999), num(CKU_USER), typed(userPIN)},
		{num(fnSetPIN), s, typed(userPIN), typed(soPIN)},
		{num(fnEncryptInit), s, oaep, public},
		{num(fnEncrypt), s, str(data), have(256)},
		{num(malformed + fnDigest), s},
		{num(200), s},
	} {
		message := slices.Concat(parts...)
		if h.library.Call(message); !isWiped(message) {
			t.Errorf("function %d leaves %q", parts[0], message)
		}
	}
	h.want(CKR_OK, fnEncryptInit, s, oaep, public)
	ciphertext := h.output(fnEncrypt, s, str(data))
	h.want(CKR_OK, fnDecryptInit, s, oaep, private)
	if got := h.output(fnDecrypt, s, str(ciphertext)); !bytes.Equal(got, data) {
		t.Errorf("%q", got)
	}
	key := softwareKey(t, 2048)
	made := num(h.want(CKR_OK, fnCreateObject, s, attrs(ofClass(CKO_PUBLIC_KEY), attribute{CKA_KEY_TYPE, number(CKK_RSA)},
		attribute{CKA_MODULUS, key.N.Bytes()}, attribute{CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}})).number())
	if _, got := filled(h.want(CKR_OK, fnGetAttributeValue, s, made, num(1), num(CKA_MODULUS), have(256))); !bytes.Equal(got, key.N.Bytes()) {
		t.Errorf("%x", got)
	}
}

// What a session or a login has is wiped when it ends, however that comes.
func TestEndsWipe(t *testing.T) {
	h, _ := newKey(t)
	for _, row := range []struct {
		name string
		end  func(s field)
	}{
		{"C_Logout and C_SessionCancel", func(s field) {
			h.want(CKR_OK, fnLogout, s)
			h.want(CKR_OK, fnSessionCancel, s, num(CKF_DECRYPT|CKF_ENCRYPT))
		}},
		{"C_CloseSession", func(s field) { h.want(CKR_OK, fnCloseSession, s) }},
		{"C_CloseAllSessions", func(field) { h.want(CKR_OK, fnCloseAllSessions, num(slotID)) }},
		{"C_Finalize", func(field) { h.want(CKR_OK, fnFinalize, num(0)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.t = t
			s := h.session()
			h.want(CKR_OK, fnLogin, s, num(CKU_USER), typed(userPIN))
			pkcs := mech(CKM_RSA_PKCS, nil)
			private, public := h.one(s, CKO_PRIVATE_KEY), h.one(s, CKO_PUBLIC_KEY)
			h.want(CKR_OK, fnEncryptInit, s, pkcs, public)
			ciphertext := h.output(fnEncrypt, s, str(data))
			h.want(CKR_OK, fnDecryptInit, s, pkcs, private)
			h.want(CKR_BUFFER_TOO_SMALL, fnDecrypt, s, str(ciphertext), have(1))
			h.want(CKR_OK, fnEncryptInit, s, pkcs, public)
			h.want(CKR_OK, fnEncryptUpdate, s, str(data), have(0))
			session := h.library.sessions[h.library.lastSession]
			plaintext, part, pin := session.operations[decrypting].result, session.operations[encrypting].data, h.library.tokens[0].pin
			if !bytes.Equal(plaintext, data) || !bytes.Equal(part, data) || !bytes.Equal(pin, userPIN) {
				t.Fatalf("%q, %q, %q", plaintext, part, pin)
			}
			row.end(s)
			defer h.call(fnCloseSession, s)
			if !isWiped(plaintext) || !isWiped(part) || !isWiped(pin) {
				t.Errorf("%q, %q, %q are left", plaintext, part, pin)
			}
		})
	}
}
