package token

import (
	"slices"
	"strings"
	"testing"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// Everybody is logged in, unless all keys have PINs.
func TestStateWithPINs(t *testing.T) {
	h := newHost(t, t.TempDir(), tpmtest.SWTPM(t))
	keys := h.library.keys
	reading, writing := h.open(slotID, 0), h.session()
	wantStates := func(forReading, forWriting uint64) {
		t.Helper()
		h.wantState(reading, forReading)
		h.wantState(writing, forWriting)
	}
	wantStates(CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS)
	pin := []byte("1234")
	if _, err := keys.Create("pinned", provider.Template{PIN: pin}); err != nil {
		t.Fatal(err)
	}
	wantStates(CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION)
	h.login(CKR_OK, writing, CKU_USER, pin)
	wantStates(CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS)
	h.want(CKR_OK, fnLogout, writing)
	wantStates(CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION)
	if _, err := keys.Create("open", provider.Template{}); err != nil {
		t.Fatal(err)
	}
	wantStates(CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS)
}

// The log says what to do about a program that did not log in.
func TestAdviceToLogIn(t *testing.T) {
	h := newHost(t, t.TempDir(), tpmtest.SWTPM(t))
	if _, err := h.library.keys.Create("pinned", provider.Template{PIN: []byte("1234")}); err != nil {
		t.Fatal(err)
	}
	s := h.session()
	sign := func() {
		t.Helper()
		h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), h.one(s, CKO_PRIVATE_KEY))
		h.want(CKR_USER_NOT_LOGGED_IN, fnSign, s, str(data), have(256))
	}
	advised := func() bool {
		return slices.ContainsFunc(h.log, func(line string) bool { return strings.Contains(line, "have it log in") })
	}
	h.want(CKR_OK, fnLogin, s, num(CKU_USER), num(1), str(nil))
	sign()
	if advised() {
		t.Errorf("after a login: %q", h.log)
	}
	h.want(CKR_OK, fnLogout, s)
	sign()
	if !advised() {
		t.Errorf("%q", h.log)
	}
}
