package token

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"tpmkey.example/provider"
)

// A login can end in another thread while keys or PINs are made, of which each looks twice: no key comes to have no authValue, and no PIN to open one of zeros.
func TestLoginEndsMeanwhile(t *testing.T) {
	imported := privateTemplate(softwareKey(t, 2048))
	for name, end := range map[string]func(h *host, s field){
		"C_Logout":           func(h *host, s field) { h.want(CKR_OK, fnLogout, s) },
		"C_CloseAllSessions": func(h *host, _ field) { h.want(CKR_OK, fnCloseAllSessions, num(1)) },
		"C_Finalize":         func(h *host, _ field) { h.want(CKR_OK, fnFinalize, num(0)) },
	} {
		h := newHost(t, filepath.Join(t.TempDir(), "none"), "")
		s, token := h.open(1, CKF_RW_SESSION), h.library.free
		session := h.library.sessions[h.library.lastSession]
		token.user, token.pin = officer, bytes.Clone(soPIN)
		end(h, s)
		key := func(class uint64) *object { return &object{token: token, owner: session, class: class} }
		for what, err := range map[string]error{
			"C_GenerateKeyPair": (&pair{key(CKO_PUBLIC_KEY), key(CKO_PRIVATE_KEY)}).make(provider.Template{}, nil, nil),
			"C_CreateObject":    createPrivateKey(key(CKO_PRIVATE_KEY), imported),
			"C_InitPIN":         initPIN(session, &request{rest: str(userPIN)}, nil),
		} {
			if !errors.Is(err, CKR_USER_NOT_LOGGED_IN) {
				t.Errorf("%s before %s: %v", name, what, err)
			}
		}
	}
}
