package provider_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// garble changes a response as something between the chip and us could: a byte, the end, or a size in it. The header's size is right all the same.
func garble(r *rand.Rand, response []byte) []byte {
	const header = 10
	if len(response) == header {
		return response
	}
	at := header + r.IntN(len(response)-header)
	switch r.IntN(4) {
	case 0:
		response[at] ^= 1 << r.IntN(8)
	case 1:
		response = response[:at]
	case 2:
		binary.BigEndian.PutUint16(response[min(at, len(response)-2):], uint16(r.IntN(1<<16)))
	case 3:
		response = append(response, make([]byte, r.IntN(300))...)
	}
	binary.BigEndian.PutUint32(response[2:], uint32(len(response)))
	return response
}

// Whatever a chip says, or something on the bus in its place, the worst is an error: no panic, and no signature that is none.
func TestGarbledResponses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	chip := &tpmtest.RSAChip{}
	dir := t.TempDir()
	create(t, provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return closer{chip}, nil }), "web")
	for round := range 300 {
		whole := r.IntN(8) // so many responses
		p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) {
			return garbled{closer{chip}, r, &whole, func([]byte) {}}, nil
		})
		k, err := p.Key("web")
		if err != nil {
			t.Fatal(err)
		}
		if signature, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); err == nil {
			wantSignature(t, round, k, signature)
		}
		k.SignPSS(crypto.SHA256, sum(crypto.SHA256), 32)
		k.DecryptPKCS1v15(make([]byte, 256))
		k.DecryptOAEP(crypto.SHA256, crypto.SHA256, nil, make([]byte, 256))
		if p.Sizes(); round%20 == 0 {
			p.Create("garbled"+strconv.Itoa(round), provider.Template{})
		}
		p.Close()
	}
}

func wantSignature(t *testing.T, round int, k *provider.Key, signature []byte) {
	t.Helper()
	if err := rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, sum(crypto.SHA256), signature); err != nil {
		t.Errorf("round %d: a signature that is none", round)
	}
}

// A key with a PIN, between a manager and us: no command has the PIN in it, whatever was answered before.
func TestGarbledResponsesWithAPIN(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return closer{raw}, nil }})
	defer m.Close()
	pin, dir := []byte("a long PIN that stands out"), t.TempDir()
	open := func(whole int) *provider.Provider {
		return provider.Open([]string{dir}, func() (transport.TPMCloser, error) {
			s, err := m.Open(rm.Options{})
			return garbled{s, r, &whole, func(command []byte) {
				if bytes.Contains(command, pin) {
					t.Errorf("the PIN is in a command: %x", command)
				}
			}}, err
		})
	}
	first := open(100)
	withPIN(t, first, "web", provider.Template{PIN: pin})
	first.Close()
	for round := range 150 {
		p := open(r.IntN(10))
		p.AskPIN(func(*provider.Key, error) ([]byte, error) { return bytes.Clone(pin), nil })
		k, err := p.Key("web")
		if err != nil {
			t.Fatal(err)
		}
		if signature, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); err == nil {
			wantSignature(t, round, k, signature)
		}
		k.DecryptPKCS1v15(make([]byte, 256))
		if round%10 == 0 {
			p.ChangePIN(k, pin)
		}
		p.Close()
	}
}

// garbled is a space whose responses are garbled after so many that are whole, and whose commands are looked at.
type garbled struct {
	transport.TPMCloser
	r     *rand.Rand
	whole *int
	look  func(command []byte)
}

func (g garbled) Send(command []byte) ([]byte, error) {
	g.look(command)
	response, err := g.TPMCloser.Send(command)
	if *g.whole--; err == nil && *g.whole < 0 {
		response = garble(g.r, bytes.Clone(response))
	}
	return response, err
}
