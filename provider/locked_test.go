package provider_test

import (
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// Who is refused for a while is told for how long: by the manager, or else by the chip.
func TestLockedUntil(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	dirs := []string{t.TempDir()}
	if _, err := provider.Open(dirs, func() (transport.TPMCloser, error) { return closer{raw}, nil }).Create("web", provider.Template{PIN: []byte("right")}); err != nil {
		t.Fatal(err)
	}
	flushAll(t, raw)
	locked := refusing(raw, tpm2.TPMRCLockout, ofCode(tpm2.TPMCCSign))
	braked := refusing(raw, 0x000B0921, ofCode(tpm2.TPMCCSign))
	forgetful := refusing(braked, tpm2.TPMRCFailure, ofCode(tpm2.TPMCCGetCapability))
	for _, row := range []struct {
		name        string
		tpm         func() transport.TPMCloser
		soon, later time.Duration // zero: nobody knows
		latest      bool
	}{
		{"refused by a brake", func() transport.TPMCloser { return brakedSpace(t, raw) }, 3 * time.Minute, 5 * time.Minute, false},
		{"locked by the chip", func() transport.TPMCloser { return closer{locked} }, 990 * time.Second, 1001 * time.Second, true}, // swtpm: 1,000 s
		{"refused for the chip's counter", func() transport.TPMCloser { return closer{braked} }, 990 * time.Second, 1001 * time.Second, true},
		{"by something that does not tell", func() transport.TPMCloser { return closer{forgetful} }, 0, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := provider.Open(dirs, func() (transport.TPMCloser, error) { return row.tpm(), nil })
			defer p.Close()
			k, err := p.Key("web")
			if err == nil {
				err = k.GivePIN([]byte("right"))
			}
			if err != nil {
				t.Fatal(err)
			}
			defer flushAll(t, raw)
			_, err = k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
			var until *provider.LockedError
			if !errors.Is(err, provider.ErrLockout) || !errors.As(err, &until) {
				t.Fatal(err)
			}
			left := time.Until(until.Until)
			if told := !until.Until.IsZero(); told != (row.later > 0) || told && (left < row.soon || left > row.later) || until.Latest != row.latest {
				t.Errorf("%v: %v left", err, left)
			}
			if strings.Contains(err.Error(), "nothing says until when") != until.Until.IsZero() {
				t.Errorf("%v", err)
			}
		})
	}
}

// brakedSpace is a client's whose failures were many, a minute ago.
func brakedSpace(t *testing.T, raw tpmtest.Sender) transport.TPMCloser {
	t.Helper()
	const user = 1000
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return closer{raw}, nil },
		Memory: rm.Memory{Principals: map[uint32]*rm.Brake{user: {Failures: 25, Last: time.Now().Add(-time.Minute)}}}})
	t.Cleanup(func() { m.Close() })
	s, err := m.Open(rm.Options{UID: user})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
