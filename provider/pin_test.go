package provider_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// recorded is a provider on a manager whose chip is recorded.
func recorded(t *testing.T, spec string) (*provider.Provider, *tpmtest.Recorder) {
	t.Helper()
	recorder := tpmtest.Record(tpmtest.Dial(t, spec))
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return closer{recorder}, nil }})
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return m.Open(rm.Options{UID: 1000}) })
	t.Cleanup(func() { p.Close(); m.Close() })
	return p, recorder
}

// asking answers with one PIN after the other.
type asking struct {
	pins  []string
	wrong []error
}

func (a *asking) source(k *provider.Key, wrong error) ([]byte, error) {
	if len(a.wrong) == len(a.pins) {
		return nil, errors.New("nobody is there any more")
	}
	a.wrong = append(a.wrong, wrong)
	return []byte(a.pins[len(a.wrong)-1]), nil
}

func withPIN(t *testing.T, p *provider.Provider, name string, template provider.Template) *provider.Key {
	t.Helper()
	k, err := p.Create(name, template)
	if err != nil {
		t.Fatal(err)
	}
	if !k.HasPIN() {
		t.Errorf("%s has no PIN", name)
	}
	return k
}

func verify(t *testing.T, k *provider.Key) {
	t.Helper()
	signature, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
	if err != nil {
		t.Error(err)
	} else if err := rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, sum(crypto.SHA256), signature); err != nil {
		t.Error(err)
	}
}

func TestPIN(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		p, recorder := recorded(t, spec)
		k := withPIN(t, p, "web", provider.Template{PIN: []byte("correct horse")})
		if _, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); !errors.Is(err, provider.ErrPIN) || errors.Is(err, provider.ErrWrongPIN) {
			t.Errorf("without a PIN: %v", err)
		}
		person := &asking{pins: []string{"correct horse"}}
		p.AskPIN(person.source)
		verify(t, k)
		recorder.Reset()
		verify(t, k)
		if commands := recorder.Commands(); len(commands) != 1 || len(person.wrong) != 1 {
			t.Errorf("a second signature took the commands %x, and the PIN was asked for %d times", commands, len(person.wrong))
		}
		testDecrypt(t, k)
		p.ForgetPINs()
		person.pins = append(person.pins, "correct horse")
		verify(t, k)
		if len(person.wrong) != 2 {
			t.Errorf("asked %d times after the PIN was forgotten", len(person.wrong))
		}
		if err := k.GivePIN([]byte("wrong")); err != nil {
			t.Fatal(err)
		}
		if _, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); !errors.Is(err, provider.ErrWrongPIN) {
			t.Errorf("a wrong PIN that was given: %v", err)
		}
		if err := k.GivePIN([]byte("correct horse")); err != nil {
			t.Fatal(err)
		}
		verify(t, k)
	})
}

// The PIN, the parts of it, and what is encrypted with nothing but public data: none of it is on the bus.
func TestPINIsNotOnTheBus(t *testing.T) {
	p, recorder := recorded(t, tpmtest.SWTPM(t))
	const pin, other = "correct horse", "battery staple"
	k := withPIN(t, p, "web", provider.Template{PIN: []byte(pin)})
	if err := k.GivePIN([]byte(pin)); err != nil {
		t.Fatal(err)
	}
	verify(t, k)
	changed, err := p.ChangePIN(k, []byte(other))
	if err != nil {
		t.Fatal(err)
	}
	if err := changed.GivePIN([]byte(other)); err != nil {
		t.Fatal(err)
	}
	verify(t, changed)
	bytesSeen := 0
	for _, e := range recorder.Log() {
		bytesSeen += len(e.Command) + len(e.Response)
		for _, secret := range []string{pin, other} {
			for i := range len(secret) - 4 {
				if part := []byte(secret[i : i+5]); bytes.Contains(e.Command, part) || bytes.Contains(e.Response, part) {
					t.Errorf("%q is in a command 0x%x or its response", part, e.Code())
				}
			}
		}
	}
	if bytesSeen < 2000 {
		t.Errorf("only %d bytes were recorded", bytesSeen)
	}
}

// A person is asked three times, and once where each try counts for the whole TPM.
func TestPINIsAskedAgain(t *testing.T) {
	p, _ := recorded(t, tpmtest.SWTPM(t))
	for _, row := range []struct {
		name  string
		da    bool
		pins  []string
		right bool
		asked int
	}{
		{"second", false, []string{"wrong", "right"}, true, 2},
		{"never", false, []string{"a", "b", "c", "right"}, false, 3},
		{"counted", true, []string{"wrong", "right"}, false, 1},
		{"too-long", false, []string{"123456789012345678901234567890123"}, false, 1},
	} {
		k := withPIN(t, p, row.name, provider.Template{PIN: []byte("right"), DA: row.da})
		person := &asking{pins: row.pins}
		p.AskPIN(person.source)
		_, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
		if (err == nil) != row.right || len(person.wrong) != row.asked {
			t.Errorf("%s: asked %d times, %v", row.name, len(person.wrong), err)
		}
		for i, wrong := range person.wrong {
			if i == 0 && wrong != nil || i > 0 && !errors.Is(wrong, provider.ErrWrongPIN) {
				t.Errorf("%s: question %d says %v", row.name, i+1, wrong)
			}
		}
		p.ForgetPINs()
	}
}

func TestBadPINs(t *testing.T) {
	p, _ := recorded(t, tpmtest.SWTPM(t))
	for _, pin := range []string{"123456789012345678901234567890123", "zero\x00byte"} {
		if _, err := p.Create("web", provider.Template{PIN: []byte(pin)}); !errors.Is(err, provider.ErrPINFormat) || bytes.Contains([]byte(err.Error()), []byte(pin)) {
			t.Errorf("%q: %v", pin, err)
		}
	}
	k := withPIN(t, p, "web", provider.Template{PIN: []byte("12345678901234567890123456789012")})
	if err := k.GivePIN([]byte("12345678901234567890123456789012")); err != nil {
		t.Fatal(err)
	}
	verify(t, k)
	if _, err := p.ChangePIN(k, []byte("a\x00b")); !errors.Is(err, provider.ErrPINFormat) {
		t.Errorf("change to a bad PIN: %v", err)
	}
}

// More keys with PINs than a client may have sessions, used by several at once.
func TestManyPINs(t *testing.T) {
	p, _ := recorded(t, tpmtest.SWTPM(t))
	var keys []*provider.Key
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		k := withPIN(t, p, name, provider.Template{PIN: []byte(name)})
		if err := k.GivePIN([]byte(name)); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	var group sync.WaitGroup
	for _, k := range keys {
		for range 2 {
			group.Go(func() {
				for range 3 {
					verify(t, k)
				}
			})
		}
	}
	group.Wait()
}

// Something on the bus that answers for the TPM's parent with a key of its own learns nothing: its Name is not the pinned one, or not the one that its public
// area has.
func TestManInTheMiddle(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return closer{chip}, nil })
	k := withPIN(t, p, "web", provider.Template{PIN: []byte("pin")})
	p.Close()
	flushAll(t, chip)
	var started bool
	forging := tpmtest.Func(func(command []byte) ([]byte, error) {
		started = started || code(command) == tpm2.TPMCCStartAuthSession
		response, err := chip.Send(command)
		if code(command) == tpm2.TPMCCCreatePrimary && err == nil && len(response) > 200 {
			response[100] ^= 1 // a coordinate of the public point
		}
		return response, err
	})
	p = provider.Open([]string{filepath.Dir(k.Path())}, func() (transport.TPMCloser, error) { return closer{forging}, nil })
	again, err := p.Key("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := again.GivePIN([]byte("pin")); err != nil {
		t.Fatal(err)
	}
	if _, err := again.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); !errors.Is(err, provider.ErrWrongTPM) || started {
		t.Errorf("a forged parent: %v; a session was started: %v", err, started)
	}
	p.Close()
	flushAll(t, chip)
}
