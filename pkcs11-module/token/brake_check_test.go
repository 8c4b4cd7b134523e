//go:build check

package token

import (
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// alone is a chip whose connection outlives those who use it.
type alone struct{ tpmtest.Sender }

func (alone) Close() error { return nil }

// Whoever guesses is braked by the manager, and told so. Root is not, so that the host is somebody else.
func TestClassicBrake(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	manager := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return alone{chip}, nil }})
	t.Cleanup(func() { manager.Close() })
	dir := t.TempDir()
	h := loadHost(t, func() *provider.Provider {
		return provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return manager.Open(rm.Options{UID: 1000}) })
	})
	h.want(CKR_OK, fnInitToken, num(1), typed(soPIN), tokenName("classic"))
	s := h.open(1, CKF_RW_SESSION)
	for try := range 40 {
		rv, _ := h.call(fnLogin, s, num(CKU_SO), typed([]byte("guess")))
		if rv == CKR_PIN_LOCKED {
			if _, flags := h.tokenInfo(1); flags&CKF_SO_PIN_LOCKED == 0 {
				t.Errorf("flags %#x", flags)
			}
			h.login(CKR_PIN_LOCKED, s, CKU_SO, soPIN)
			return
		}
		if rv != CKR_PIN_INCORRECT {
			t.Fatalf("try %d: %v", try, rv)
		}
	}
	t.Error("40 guesses, and no end")
}
