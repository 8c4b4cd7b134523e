package token

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

var (
	soPIN, userPIN = []byte("officer"), []byte("user pin")
	bits2048       = attribute{CKA_MODULUS_BITS, number(uint64(2048))}
)

func typed(pin []byte) field { return append(num(1), str(pin)...) }

func tokenName(name string) field {
	return str(append([]byte(name), bytes.Repeat([]byte{' '}, 32-len(name))...))
}

// slots gives the slots that there are, with a token or all.
func (h *host) slots(present int) (list []uint64) {
	h.t.Helper()
	h.want(CKR_OK, fnGetSlotList, num(present), ask())
	answer := h.want(CKR_OK, fnGetSlotList, num(present), have(100))
	answer.number()
	for range answer.number() {
		list = append(list, answer.number())
	}
	return list
}

// open opens a session in a slot.
func (h *host) open(slot uint64, flags uint64) field {
	h.t.Helper()
	return num(h.want(CKR_OK, fnOpenSession, num(slot), num(CKF_SERIAL_SESSION|flags)).number())
}

func (h *host) login(want CKR, s field, as uint64, pin []byte) {
	h.t.Helper()
	h.want(want, fnLogin, s, num(as), typed(pin))
}

func (h *host) wantState(s field, want uint64) {
	h.t.Helper()
	answer := h.want(CKR_OK, fnGetSessionInfo, s)
	if answer.number(); answer.number() != want {
		h.t.Errorf("the state is not %d", want)
	}
}

// tokenInfo gives label and flags.
func (h *host) tokenInfo(slot uint64) (label string, flags uint64) {
	h.t.Helper()
	answer := h.want(CKR_OK, fnGetTokenInfo, num(slot))
	label = string(bytes.TrimRight(answer.bytes(), " "))
	answer.bytes()
	answer.bytes()
	answer.bytes()
	return label, answer.number()
}

// newClassicToken gives a host with a classic token whose user has a PIN, in slot 1.
func newClassicToken(t *testing.T) (h *host, dir, spec string) {
	t.Helper()
	dir, spec = t.TempDir(), tpmtest.SWTPM(t)
	h = newHost(t, dir, spec)
	h.want(CKR_OK, fnInitToken, num(1), typed(soPIN), tokenName("classic"))
	s := h.open(1, CKF_RW_SESSION)
	h.login(CKR_OK, s, CKU_SO, soPIN)
	h.want(CKR_OK, fnInitPIN, s, str(userPIN))
	h.want(CKR_OK, fnCloseSession, s)
	return h, dir, spec
}

// A token comes out of the slot without one; it is seen by other processes, also such as run already.
func TestInitToken(t *testing.T) {
	dir, spec := t.TempDir(), tpmtest.SWTPM(t)
	h := newHost(t, dir, spec)
	other := newHost(t, dir, "")
	if len(h.slots(1)) != 1 || len(h.slots(0)) != 2 {
		t.Error("not one token and a slot for another")
	}
	h.want(CKR_OK, fnGetSlotInfo, num(1))
	if label, flags := h.tokenInfo(1); label != "" || flags != CKF_RNG { // pkcs11-tool asks before it makes one
		t.Errorf("label %q, flags %#x", label, flags)
	}
	h.want(CKR_SLOT_ID_INVALID, fnGetSlotInfo, num(2))
	for _, row := range []struct {
		slot  uint64
		pin   field
		label field
		want  CKR
	}{
		{0, typed(soPIN), tokenName("x"), CKR_TOKEN_WRITE_PROTECTED},
		{2, typed(soPIN), tokenName("x"), CKR_SLOT_ID_INVALID},
		{1, append(num(0), str(nil)...), tokenName("x"), CKR_ARGUMENTS_BAD},
		{1, typed(soPIN), tokenName("a\nb"), CKR_ARGUMENTS_BAD},
		{1, typed([]byte("123")), tokenName("x"), CKR_PIN_LEN_RANGE},
		{1, typed(make([]byte, 33)), tokenName("x"), CKR_PIN_LEN_RANGE},
		{1, typed([]byte("a\x00bc")), tokenName("x"), CKR_PIN_INVALID},
	} {
		h.want(row.want, fnInitToken, num(row.slot), row.pin, row.label)
	}
	h.want(CKR_OK, fnInitToken, num(1), typed(soPIN), tokenName("classic"))
	for _, host := range []*host{h, other} {
		if slot := host.want(CKR_OK, fnWaitForSlotEvent, num(0)).number(); slot != 1 {
			t.Errorf("an event of slot %d", slot)
		}
		host.want(CKR_NO_EVENT, fnWaitForSlotEvent, num(0)) // it is one event
	}
	newHost(t, dir, "").want(CKR_NO_EVENT, fnWaitForSlotEvent, num(0)) // there before
	for _, host := range []*host{h, other, newHost(t, dir, "")} {
		if len(host.slots(1)) != 2 || len(host.slots(0)) != 3 {
			t.Error("not two tokens and a slot for another")
		}
		label, flags := host.tokenInfo(1)
		if label != "classic" || flags != CKF_TOKEN_INITIALIZED|CKF_RNG|CKF_LOGIN_REQUIRED {
			t.Errorf("label %q, flags %#x", label, flags)
		}
	}
}

// Who may log in, and what sessions say then (PKCS #11 v2.40, 4.4 and 5.6).
func TestClassicLogin(t *testing.T) {
	h, _, _ := newClassicToken(t)
	reading, writing := h.open(1, 0), h.open(1, CKF_RW_SESSION)
	h.wantState(reading, CKS_RO_PUBLIC_SESSION)
	h.wantState(writing, CKS_RW_PUBLIC_SESSION)
	h.want(CKR_USER_NOT_LOGGED_IN, fnLogout, reading)
	h.want(CKR_USER_NOT_LOGGED_IN, fnInitPIN, writing, str(userPIN))
	h.login(CKR_SESSION_READ_ONLY_EXISTS, writing, CKU_SO, soPIN)
	h.login(CKR_USER_TYPE_INVALID, writing, 7, soPIN)
	h.login(CKR_OPERATION_NOT_INITIALIZED, writing, CKU_CONTEXT_SPECIFIC, userPIN)
	h.login(CKR_OK, reading, CKU_USER, userPIN)
	h.wantState(reading, CKS_RO_USER_FUNCTIONS)
	h.wantState(writing, CKS_RW_USER_FUNCTIONS)
	h.login(CKR_USER_ALREADY_LOGGED_IN, writing, CKU_USER, userPIN)
	h.login(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, writing, CKU_SO, soPIN)
	h.want(CKR_SESSION_EXISTS, fnInitToken, num(1), typed(soPIN), tokenName("x"))
	h.want(CKR_OK, fnLogout, writing)
	h.wantState(reading, CKS_RO_PUBLIC_SESSION)
	h.want(CKR_OK, fnCloseSession, reading)
	h.login(CKR_OK, writing, CKU_SO, soPIN)
	h.wantState(writing, CKS_RW_SO_FUNCTIONS)
	h.want(CKR_SESSION_READ_WRITE_SO_EXISTS, fnOpenSession, num(1), num(CKF_SERIAL_SESSION))
	h.want(CKR_OK, fnCloseSession, writing) // the last one logs out
	h.wantState(h.open(1, 0), CKS_RO_PUBLIC_SESSION)
	h.wantState(h.open(0, 0), CKS_RO_USER_FUNCTIONS) // the other token is another
}

// PINs are right, wrong, counted, changed and given anew.
func TestClassicPINs(t *testing.T) {
	h, dir, spec := newClassicToken(t)
	s := h.open(1, CKF_RW_SESSION)
	wantFlags := func(want uint64) {
		t.Helper()
		if _, flags := h.tokenInfo(1); flags != CKF_TOKEN_INITIALIZED|CKF_RNG|CKF_LOGIN_REQUIRED|CKF_USER_PIN_INITIALIZED|want {
			t.Errorf("flags %#x", flags)
		}
	}
	h.want(CKR_ARGUMENTS_BAD, fnLogin, s, num(CKU_USER), num(0), str(nil))
	h.want(CKR_ARGUMENTS_BAD, fnLoginUser, s, num(CKU_SO), num(0), str(nil), num(0), str(nil))
	wantFlags(0)
	for _, pin := range []string{"wrong", "", "user pin ", "user pi", string(make([]byte, 40))} {
		h.login(CKR_PIN_INCORRECT, s, CKU_USER, []byte(pin))
		wantFlags(CKF_USER_PIN_COUNT_LOW)
	}
	h.login(CKR_PIN_INCORRECT, s, CKU_SO, userPIN)
	wantFlags(CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW)
	h.login(CKR_OK, s, CKU_USER, userPIN)
	wantFlags(CKF_SO_PIN_COUNT_LOW)
	changed := []byte("another pin")
	h.want(CKR_PIN_INCORRECT, fnSetPIN, s, typed(changed), typed(changed))
	h.want(CKR_PIN_LEN_RANGE, fnSetPIN, s, typed(userPIN), typed([]byte("1")))
	h.want(CKR_SESSION_READ_ONLY, fnSetPIN, h.open(1, 0), typed(userPIN), typed(changed))
	h.want(CKR_OK, fnSetPIN, s, typed(userPIN), typed(changed))
	h.want(CKR_OK, fnLogout, s)
	h.login(CKR_PIN_INCORRECT, s, CKU_USER, userPIN)
	h.want(CKR_OK, fnSetPIN, s, typed(changed), typed(userPIN)) // in a public session the user's
	h.want(CKR_OK, fnCloseAllSessions, num(1))
	s = h.open(1, CKF_RW_SESSION)
	h.login(CKR_OK, s, CKU_SO, soPIN)
	h.want(CKR_OK, fnInitPIN, s, str([]byte("forgotten")))
	h.want(CKR_OK, fnSetPIN, s, typed(soPIN), typed([]byte("other officer")))
	h.want(CKR_OK, fnCloseSession, s)
	h.want(CKR_OK, fnFinalize, num(0))
	again := newHost(t, dir, spec)
	s = again.open(1, CKF_RW_SESSION)
	again.login(CKR_PIN_INCORRECT, s, CKU_USER, userPIN)
	again.login(CKR_OK, s, CKU_USER, []byte("forgotten"))
	again.want(CKR_OK, fnLogout, s)
	again.login(CKR_PIN_INCORRECT, s, CKU_SO, soPIN)
	again.login(CKR_OK, s, CKU_SO, []byte("other officer"))
	again.want(CKR_FUNCTION_NOT_SUPPORTED, fnSetPIN, again.session(), typed(userPIN), typed(changed))
	again.want(CKR_FUNCTION_NOT_SUPPORTED, fnInitPIN, again.session(), str(userPIN))
}

// Private keys are made, seen and used by the user alone; what he began ends when he goes.
func TestClassicKeys(t *testing.T) {
	h, dir, spec := newClassicToken(t)
	s := h.open(1, CKF_RW_SESSION)
	keyGen := mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil)
	h.want(CKR_USER_NOT_LOGGED_IN, fnGenerateKeyPair, s, keyGen, attrs(bits2048), attrs(onToken))
	h.login(CKR_OK, s, CKU_USER, userPIN)
	h.want(CKR_TEMPLATE_INCONSISTENT, fnGenerateKeyPair, s, keyGen, attrs(bits2048), attrs(onToken, attribute{CKA_PRIVATE, boolean(false)}))
	answer := h.want(CKR_OK, fnGenerateKeyPair, s, keyGen, attrs(bits2048, named("k")), attrs(onToken))
	public, private := num(answer.number()), num(answer.number())
	brief := num(func() uint64 {
		answer := h.want(CKR_OK, fnGenerateKeyPair, s, keyGen, attrs(bits2048, named("brief")), attrs())
		answer.number()
		return answer.number()
	}())
	h.wantValue(s, private, CKA_PRIVATE, boolean(true))
	h.wantValue(s, public, CKA_PRIVATE, boolean(false))
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(h.value(s, public, CKA_MODULUS)), E: 65537}
	signs := func(h *host, s, private field) {
		h.t.Helper()
		h.want(CKR_OK, fnSignInit, s, mech(CKM_SHA256_RSA_PKCS, nil), private)
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sumOf(crypto.SHA256), h.output(fnSign, s, str(data))); err != nil {
			t.Error(err)
		}
	}
	signs(h, s, private)
	h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), brief)
	h.output(fnSign, s, str(data))
	h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
	h.want(CKR_OK, fnLogout, s)
	h.want(CKR_OPERATION_NOT_INITIALIZED, fnSign, s, str(data), have(256))
	h.want(CKR_KEY_HANDLE_INVALID, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
	h.want(CKR_OBJECT_HANDLE_INVALID, fnGetAttributeValue, s, private, num(0))
	if found := h.find(s); len(found) != 2 { // the public parts
		t.Errorf("%d objects are public", len(found))
	}
	h.want(CKR_OK, fnVerifyInit, s, mech(CKM_RSA_PKCS, nil), public)
	h.login(CKR_OK, s, CKU_USER, userPIN)
	h.want(CKR_OBJECT_HANDLE_INVALID, fnGetAttributeValue, s, brief, num(0))        // gone with the login
	h.want(CKR_KEY_HANDLE_INVALID, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private) // a handle does not survive the logout (5.6)
	signs(h, s, h.one(s, CKO_PRIVATE_KEY))
	if found := h.find(h.session()); len(found) != 0 {
		t.Errorf("%d objects are on the other token", len(found))
	}
	h.want(CKR_OK, fnFinalize, num(0))
	again := newHost(t, dir, spec)
	s = again.open(1, CKF_RW_SESSION)
	again.login(CKR_OK, s, CKU_USER, userPIN)
	signs(again, s, again.one(s, CKO_PRIVATE_KEY))
	again.want(CKR_OK, fnCloseSession, s)
	again.want(CKR_PIN_INCORRECT, fnInitToken, num(1), typed(userPIN), tokenName("new"))
	again.want(CKR_OK, fnInitToken, num(1), typed(soPIN), tokenName("new"))
	s = again.open(1, CKF_RW_SESSION)
	again.login(CKR_USER_PIN_NOT_INITIALIZED, s, CKU_USER, userPIN)
	again.login(CKR_OK, s, CKU_SO, soPIN)
	if label, _ := again.tokenInfo(1); label != "new" || len(again.find(s)) != 0 {
		t.Errorf("token %q is not empty", label)
	}
	left, err := filepath.Glob(filepath.Join(dir, "tokens", "*", "keys", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// The PINs and the authValue of the keys are nowhere in the files.
func TestClassicFiles(t *testing.T) {
	_, dir, _ := newClassicToken(t)
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, soPIN) || bytes.Contains(text, userPIN) {
			t.Errorf("%s has a PIN in it", path)
		}
		if info, _ := entry.Info(); info.Mode().Perm()&0o077 != 0 && filepath.Ext(path) != ".pub" {
			t.Errorf("%s has mode %o", path, info.Mode())
		}
		return err
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}
