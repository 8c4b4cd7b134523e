package token

import "slices"

// profiles are the objects by which a token says what it is (PKCS #11 v3.0, 4.13), and hosts know what they need not try: it has all that each provider has, and
// its certificates are read without a login, so that NSS asks for no PIN to look for some.
func (t *token) profiles() (list []*object) {
	for _, id := range []uint64{CKP_BASELINE_PROVIDER, CKP_PUBLIC_CERTIFICATES_TOKEN} {
		list = append(list, &object{token: t, class: CKO_PROFILE, profile: id})
	}
	return list
}

// asksForProfiles tells whether a template is for profiles. They are found by nothing else: who lists all objects shows them to a person, for whom they are not.
func (t template) asksForProfiles() bool {
	return slices.ContainsFunc(t, func(a attribute) bool {
		return a.kind == CKA_PROFILE_ID || a.kind == CKA_CLASS
	})
}
