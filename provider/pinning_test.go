package provider_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// A tssKey is the structure in a key file.
type tssKey struct {
	Type            asn1.ObjectIdentifier
	EmptyAuth       bool `asn1:"explicit,tag:0"`
	Parent          int64
	Public, Private []byte // each a TPM2B
}

// edited is a key file with something changed in its structure.
func edited(change func(*tssKey)) func(*testing.T, []byte) []byte {
	return func(t *testing.T, text []byte) []byte {
		t.Helper()
		begin := bytes.Index(text, []byte("-----BEGIN"))
		block, _ := pem.Decode(text[begin:])
		var key tssKey
		if _, err := asn1.Unmarshal(block.Bytes, &key); err != nil {
			t.Fatal(err)
		}
		change(&key)
		der, err := asn1.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		block.Bytes = der
		return append(bytes.Clone(text[:begin]), pem.EncodeToMemory(block)...)
	}
}

func unpinned(_ *testing.T, text []byte) []byte {
	return text[bytes.Index(text, []byte("-----BEGIN")):]
}

// flipped is a key file with one bit of a part changed.
func flipped(part func(*tssKey) []byte) func(*testing.T, []byte) []byte {
	return edited(func(key *tssKey) { b := part(key); b[len(b)*2/3] ^= 4 })
}

// forged is a chip behind something that changes one byte of responses.
func forged(command tpm2.TPMCC, at int) func(*testing.T, *tpmtest.Conn) tpmtest.Sender {
	return func(_ *testing.T, chip *tpmtest.Conn) tpmtest.Sender {
		return tpmtest.Func(func(cmd []byte) ([]byte, error) {
			response, err := chip.Send(cmd)
			if code(cmd) == command && err == nil && len(response) > at {
				response[at] ^= 1
			}
			return response, err
		})
	}
}

func persistRSA(t *testing.T, chip *tpmtest.Conn) tpmtest.Sender {
	t.Helper()
	tpmtest.PersistPrimary(t, chip, tpm2.RSASRKTemplate)
	return chip
}

func cleared(t *testing.T, chip *tpmtest.Conn) tpmtest.Sender {
	t.Helper()
	if _, err := (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	return chip
}

func same(_ *testing.T, chip *tpmtest.Conn) tpmtest.Sender { return chip }

// What keeps a key from being used: another TPM, something on the bus, a damaged file and a wrong PIN are told apart, in words. The chip stays as a row has
// left it.
func TestParentPinning(t *testing.T) {
	chip, other := tpmtest.Dial(t, tpmtest.SWTPM(t)), tpmtest.Dial(t, tpmtest.SWTPM(t))
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return closer{chip}, nil })
	made := withPIN(t, p, "web", provider.Template{PIN: []byte("pin")})
	text, err := os.ReadFile(made.Path())
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	asItIs := func(_ *testing.T, text []byte) []byte { return text }
	belowSRK := edited(func(key *tssKey) { key.Parent = 0x81000001 })
	belowSRKUnpinned := func(t *testing.T, text []byte) []byte { return unpinned(t, belowSRK(t, text)) }
	const notOurs = "the TPM was cleared or replaced, or something stands between it and us"
	for _, row := range []struct {
		name string
		file func(t *testing.T, text []byte) []byte
		chip func(t *testing.T, chip *tpmtest.Conn) tpmtest.Sender
		pin  string
		want error
		says string
	}{
		{"right", asItIs, same, "pin", nil, ""},
		{"right, not pinned", unpinned, same, "pin", nil, ""},
		{"wrong PIN", asItIs, same, "another", provider.ErrWrongPIN, "the PIN is wrong"},
		{"wrong PIN, not pinned", unpinned, same, "another", provider.ErrWrongPIN, "the PIN is wrong"},
		{"bit in the private part", flipped(func(k *tssKey) []byte { return k.Private }), same, "pin", provider.ErrFormat, "it is damaged: this is the TPM that the key was made in"},
		{"bit in the private part's size", edited(func(k *tssKey) { k.Private[3] ^= 1 }), same, "pin", provider.ErrFormat, "it is damaged: this is the TPM"},
		{"bit in the private part's integrity", edited(func(k *tssKey) { k.Private[10] ^= 1 }), same, "pin", provider.ErrFormat, "it is damaged: this is the TPM"},
		{"bit in the public part", flipped(func(k *tssKey) []byte { return k.Public }), same, "pin", provider.ErrFormat, "it is damaged: this is the TPM that the key was made in"},
		{"bit in the attributes", edited(func(k *tssKey) { k.Public[9] ^= 2 }), same, "pin", provider.ErrFormat, "it is damaged"}, // fixedTPM
		{"bit in the public part, not pinned", func(t *testing.T, text []byte) []byte {
			return unpinned(t, flipped(func(k *tssKey) []byte { return k.Public })(t, text))
		}, same, "pin", provider.ErrWrongTPM, "the file may also be damaged"},
		{"forged parent", asItIs, forged(tpm2.TPMCCCreatePrimary, 100), "pin", provider.ErrWrongTPM, "the Name of the parent key is not that of its public area; something stands between"},
		{"forged key", asItIs, forged(tpm2.TPMCCLoad, 30), "pin", provider.ErrWrongTPM, "it loads another key than the file's; something stands between"},
		{"other TPM", asItIs, func(*testing.T, *tpmtest.Conn) tpmtest.Sender { return other }, "pin", provider.ErrWrongTPM, notOurs},
		{"other TPM, wrong PIN", asItIs, func(*testing.T, *tpmtest.Conn) tpmtest.Sender { return other }, "another", provider.ErrWrongTPM, notOurs},
		{"nothing persistent", belowSRK, same, "pin", provider.ErrWrongTPM, "nothing is at its parent's handle 0x81000001"},
		{"other persistent key, not meant", asItIs, persistRSA, "pin", nil, ""},
		{"other persistent key", belowSRK, same, "pin", provider.ErrWrongTPM, "its parent at 0x81000001 has Name 000b"},
		{"other persistent key, in words", belowSRK, same, "pin", provider.ErrWrongTPM, "the TPM was cleared or replaced, another key was put there, or something"},
		{"other persistent key, not pinned", belowSRKUnpinned, same, "pin", provider.ErrWrongTPM, "its private part does not open here"},
		{"cleared TPM", asItIs, cleared, "pin", provider.ErrWrongTPM, notOurs},
		{"cleared TPM, not pinned", unpinned, same, "pin", provider.ErrWrongTPM, "its private part does not open here; the file may also be damaged"},
	} {
		t.Run(row.name, func(t *testing.T) {
			below := row.chip(t, chip)
			err := signBelow(t, below, row.file(t, text), row.pin)
			for _, sentinel := range []error{provider.ErrWrongTPM, provider.ErrFormat, provider.ErrWrongPIN, provider.ErrPIN, provider.ErrParentAuth} {
				if errors.Is(err, sentinel) != (sentinel == row.want) {
					t.Errorf("%v: is it %q?", err, sentinel)
				}
			}
			if (err == nil) != (row.want == nil) || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want %q", err, row.says)
			}
			for _, c := range []*tpmtest.Conn{chip, other} {
				flushAll(t, c)
			}
		})
	}
}

// signBelow signs with a key of a file's, on a chip.
func signBelow(t *testing.T, chip tpmtest.Sender, text []byte, pin string) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return closer{chip}, nil })
	defer p.Close()
	k, err := p.Key("web")
	if err != nil {
		return err
	}
	if err := k.GivePIN([]byte(pin)); err != nil {
		return err
	}
	_, err = k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
	return err
}
