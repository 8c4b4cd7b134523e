package provider_test

import (
	"crypto"
	"errors"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// A trial key does what others do, and nothing is left of it, in the directory or in the chip.
func TestTrial(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		dir := t.TempDir()
		p := openIn(t, dir, spec)
		k, err := p.Trial()
		if err != nil {
			t.Fatal(err)
		}
		checkSigns(t, k)
		if salt, err := k.ChipSalt(crypto.SHA256); err != nil || salt != 32 && salt != 222 {
			t.Errorf("salt %d, %v", salt, err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
			t.Errorf("left %v, %v", files, err)
		}
		p.Close()
		tpmtest.NoLeaks(t, spec)
	})
}

// The chip's own salt is found, however long it is.
func TestChipSalt(t *testing.T) {
	for _, row := range []struct {
		name string
		chip *tpmtest.RSAChip
		hash crypto.Hash
		want int
		err  error
	}{
		{"as long as the hash", &tpmtest.RSAChip{}, crypto.SHA256, 32, nil},
		{"the longest", &tpmtest.RSAChip{LongestSalt: true}, crypto.SHA256, 222, nil},
		{"no such hash", &tpmtest.RSAChip{Lacks: []tpm2.TPMAlgID{tpm2.TPMAlgSHA512}}, crypto.SHA512, 0, tpm2.TPMRCHash},
		{"none that a TPM has", &tpmtest.RSAChip{}, crypto.MD5, 0, provider.ErrUsage},
	} {
		k, err := onChip(t, row.chip).Trial()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.ChipSalt(row.hash); got != row.want || !errors.Is(err, row.err) {
			t.Errorf("%s: %d, %v", row.name, got, err)
		}
	}
}

// A key loads in its own TPM without its PIN, and in no other.
func TestTryLoad(t *testing.T) {
	spec, dir := tpmtest.Simulator(t), t.TempDir()
	p := openIn(t, dir, spec)
	k, err := p.Create("web", provider.Template{PIN: []byte("1234")})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.TryLoad(); err != nil {
		t.Errorf("in its own TPM: %v", err)
	}
	p.Close()
	tpmtest.NoLeaks(t, spec)
	there, err := openIn(t, dir, tpmtest.SWTPM(t)).Key("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := there.TryLoad(); !errors.Is(err, provider.ErrWrongTPM) {
		t.Errorf("in another TPM: %v", err)
	}
}
