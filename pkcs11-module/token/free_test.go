package token

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// In the free slot is a token that is not initialised: hosts that look at every slot find nothing there, and can do nothing but to initialise it.
func TestFreeSlot(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, dir, "")
	if got := h.slots(0); !slices.Equal(got, []uint64{0, 1}) {
		t.Errorf("slots %v", got)
	}
	if answer := h.want(CKR_OK, fnGetSlotInfo, num(1)); slotFlags(answer) != CKF_HW_SLOT|CKF_REMOVABLE_DEVICE {
		t.Error("the slot has other flags")
	}
	reading, writing := h.open(1, 0), h.open(1, CKF_RW_SESSION)
	h.wantState(reading, CKS_RO_PUBLIC_SESSION)
	h.wantState(writing, CKS_RW_PUBLIC_SESSION)
	if found := h.find(reading); len(found) != 0 {
		t.Errorf("%d objects", len(found))
	}
	h.want(CKR_OK, fnGetMechanismList, num(1), ask())
	h.want(CKR_OK, fnGenerateRandom, reading, num(8))
	keyGen := mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil)
	data := []attribute{{CKA_CLASS, number(CKO_DATA)}, {CKA_VALUE, []byte("data")}}
	for _, row := range []struct {
		want     CKR
		function int
		fields   []field
	}{
		{CKR_USER_PIN_NOT_INITIALIZED, fnLogin, []field{writing, num(CKU_USER), typed(userPIN)}},
		{CKR_SESSION_READ_ONLY_EXISTS, fnLogin, []field{writing, num(CKU_SO), typed(soPIN)}},
		{CKR_USER_NOT_LOGGED_IN, fnLogout, []field{writing}},
		{CKR_USER_NOT_LOGGED_IN, fnInitPIN, []field{writing, str(userPIN)}},
		{CKR_PIN_INCORRECT, fnSetPIN, []field{writing, typed(userPIN), typed(userPIN)}},
		{CKR_USER_NOT_LOGGED_IN, fnGenerateKeyPair, []field{writing, keyGen, attrs(bits2048), attrs()}},
		{CKR_TOKEN_WRITE_PROTECTED, fnGenerateKeyPair, []field{writing, keyGen, attrs(bits2048), attrs(onToken)}},
		{CKR_TOKEN_WRITE_PROTECTED, fnCreateObject, []field{writing, attrs(append(data, onToken)...)}},
		{CKR_SESSION_READ_ONLY, fnCreateObject, []field{reading, attrs(append(data, onToken)...)}},
		{CKR_OK, fnCreateObject, []field{reading, attrs(data...)}},
		{CKR_SESSION_EXISTS, fnInitToken, []field{num(1), typed(soPIN), tokenName("x")}},
		{CKR_OK, fnCloseSession, []field{reading}},
		{CKR_PIN_INCORRECT, fnLogin, []field{writing, num(CKU_SO), typed(soPIN)}},
		{CKR_OK, fnCloseAllSessions, []field{num(1)}},
		{CKR_SESSION_HANDLE_INVALID, fnGetSessionInfo, []field{writing}},
	} {
		h.want(row.want, row.function, row.fields...)
	}
	if left, err := os.ReadDir(filepath.Join(dir, classicDir)); err == nil {
		t.Errorf("left %v", left)
	}
}

func slotFlags(answer *request) uint64 {
	answer.bytes()
	answer.bytes()
	return answer.number()
}

// A token that another process makes does not take the slot of a session.
func TestFreeSlotInUse(t *testing.T) {
	dir, spec := t.TempDir(), tpmtest.SWTPM(t)
	h := newHost(t, dir, spec)
	s := h.open(1, 0)
	other := newHost(t, dir, spec)
	other.want(CKR_OK, fnInitToken, num(1), typed(soPIN), tokenName("theirs"))
	other.want(CKR_OK, fnFinalize, num(0)) // the emulator has one client at a time
	if got := h.slots(0); !slices.Equal(got, []uint64{0, 1}) {
		t.Errorf("slots %v", got)
	}
	h.wantState(s, CKS_RO_PUBLIC_SESSION)
	h.want(CKR_OK, fnCloseSession, s)
	if got := h.slots(0); !slices.Equal(got, []uint64{0, 1, 2}) {
		t.Errorf("slots %v", got)
	}
	h.want(CKR_OK, fnInitToken, num(2), typed(soPIN), tokenName("ours"))
	for slot, want := range map[uint64]string{1: "theirs", 2: "ours", 3: ""} {
		if label, _ := h.tokenInfo(slot); label != want {
			t.Errorf("token %d is called %q", slot, label)
		}
	}
	h.open(2, CKF_RW_SESSION)
}
