package token

import (
	"bytes"
	"path/filepath"
	"testing"
)

// Profiles are found by who asks for them, say what they are, and are what the module is: nobody makes, changes, copies or destroys one.
func TestProfiles(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s := h.session()
	if all := h.find(s); len(all) != 0 {
		t.Errorf("%d objects without being asked for", len(all))
	}
	if all := h.find(s, attribute{CKA_TOKEN, boolean(true)}); len(all) != 0 {
		t.Errorf("%d objects of the token", len(all))
	}
	for _, id := range []uint64{CKP_BASELINE_PROVIDER, CKP_PUBLIC_CERTIFICATES_TOKEN} {
		found := h.find(s, attribute{CKA_PROFILE_ID, number(id)})
		if len(found) != 1 {
			t.Fatalf("%d objects of profile %d", len(found), id)
		}
		h.wantValue(s, found[0], CKA_PROFILE_ID, number(id))
		h.wantValue(s, found[0], CKA_TOKEN, boolean(true))
		h.wantValue(s, found[0], CKA_PRIVATE, boolean(false))
		h.wantValue(s, found[0], CKA_MODIFIABLE, boolean(false))
		h.want(CKR_ACTION_PROHIBITED, fnSetAttributeValue, s, found[0], attrs(named("mine")))
		h.want(CKR_ACTION_PROHIBITED, fnCopyObject, s, found[0], attrs())
		h.want(CKR_ACTION_PROHIBITED, fnDestroyObject, s, found[0])
		h.want(CKR_KEY_HANDLE_INVALID, fnSignInit, s, mech(CKM_RSA_PKCS, nil), found[0])
		h.want(CKR_ATTRIBUTE_TYPE_INVALID, fnGetAttributeValue, s, found[0], num(1), num(CKA_ID), ask())
		h.want(CKR_OK, fnGetObjectSize, s, found[0])
	}
	found := h.find(s, ofClass(CKO_PROFILE))
	if len(found) != 2 || bytes.Equal(h.value(s, found[0], CKA_UNIQUE_ID), h.value(s, found[1], CKA_UNIQUE_ID)) {
		t.Errorf("%d profiles", len(found))
	}
	if again := h.find(s, ofClass(CKO_PROFILE)); !bytes.Equal(again[0], found[0]) {
		t.Error("another handle")
	}
	h.want(CKR_ATTRIBUTE_VALUE_INVALID, fnCreateObject, s, attrs(ofClass(CKO_PROFILE), attribute{CKA_PROFILE_ID, number(CKP_BASELINE_PROVIDER)}))
}

// A search for what has no label looks at profiles too, which have none, and no file either that could have changed.
func TestSearchForNoLabel(t *testing.T) {
	h := newHost(t, filepath.Join(t.TempDir(), "none"), "")
	s := h.session()
	for range 2 { // the second time nothing has changed since
		if found := h.find(s, named("")); len(found) != 0 {
			t.Errorf("%d objects without being asked for", len(found))
		}
		if found := h.find(s, named(""), ofClass(CKO_PROFILE)); len(found) != 2 {
			t.Errorf("%d profiles", len(found))
		}
	}
}
