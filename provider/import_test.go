package provider_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// under opens a provider of a fresh directory behind a profile of the filter.
func under(t *testing.T, profile, spec string) *provider.Provider {
	t.Helper()
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return device.OpenWithProfile(spec, profile) })
	t.Cleanup(func() { p.Close() })
	return p
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestImport(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		chip := tpmtest.Record(tpmtest.Dial(t, spec))
		p := under(t, "rsa+import", tpmtest.Serve(t, chip))
		private := rsaKey(t, 2048)
		k, err := p.Import("web", private, provider.Template{PIN: []byte("right"), Label: "from a file"})
		if err != nil {
			t.Fatal(err)
		}
		if k.Origin() != provider.OriginImported || k.Label() != "from a file" || !k.Public().Equal(&private.PublicKey) || len(k.ParentName()) == 0 {
			t.Errorf("origin %s, label %q, parent %x", k.Origin(), k.Label(), k.ParentName())
		}
		if err := k.GivePIN([]byte("wrong")); err != nil {
			t.Fatal(err)
		}
		if _, err := k.RawRSA(make([]byte, 256)); !errors.Is(err, provider.ErrWrongPIN) {
			t.Errorf("a wrong PIN: %v", err)
		}
		if err := k.GivePIN([]byte("right")); err != nil {
			t.Fatal(err)
		}
		checkSigns(t, k)
		for _, e := range chip.Log() {
			for _, secret := range [][]byte{private.Primes[0].Bytes(), private.Primes[1].Bytes(), []byte("right")} {
				if bytes.Contains(e.Command, secret) || bytes.Contains(e.Response, secret) {
					t.Errorf("a secret is on the bus, in command %#x", e.Code())
				}
			}
		}
	})
}

// Every size that the chip has can come in.
func TestImportSizes(t *testing.T) {
	p := under(t, "rsa+import", tpmtest.SWTPM(t))
	sizes, err := p.Sizes()
	if err != nil || len(sizes) < 2 {
		t.Fatalf("%v, %v", sizes, err)
	}
	for _, bits := range sizes {
		k, err := p.Import(fmt.Sprint(bits), rsaKey(t, bits), provider.Template{})
		if err != nil {
			t.Fatal(err)
		}
		checkSigns(t, k)
	}
}

// A key that no TPM takes is refused before anything is sent, and with a reason.
func TestImportRefuses(t *testing.T) {
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) {
		t.Error("the TPM was asked")
		return nil, errors.New("none")
	})
	good := rsaKey(t, 2048)
	//lint:ignore SA1019 a key of three primes is what this is about
	multi, err := rsa.GenerateMultiPrimeKey(rand.Reader, 3, 2048)
	if err != nil {
		t.Fatal(err)
	}
	broken := &rsa.PrivateKey{PublicKey: good.PublicKey, D: new(big.Int).Add(good.D, big.NewInt(2)), Primes: good.Primes}
	m := primorial(126)
	for name, row := range map[string]struct {
		key  *rsa.PrivateKey
		want string
	}{
		"too small":    {rsaKey(t, 1024), "it has 1024 bits, and keys of a TPM have 2048, 3072 or 4096"},
		"odd size":     {rsaKey(t, 2560), "it has 2560 bits"},
		"three primes": {multi, "it has 3 primes"},
		"broken":       {broken, "do not belong together"},
		"one prime":    {square(good.Primes[0]), "not two of"},
		"lopsided":     {lopsided(t), "not two of 1024 bits"},
		"ROCA":         {ofPrimes(rocaPrime(t, m), rocaPrime(t, m)), "ROCA"},
	} {
		if _, err := p.Import("web", row.key, provider.Template{}); !errors.Is(err, provider.ErrImport) || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
	if _, err := p.Import("../web", good, provider.Template{}); !errors.Is(err, provider.ErrName) {
		t.Errorf("a name that is none: %v", err)
	}
	if _, err := p.Import("web", good, provider.Template{PIN: bytes.Repeat([]byte("x"), provider.MaxPIN+1)}); !errors.Is(err, provider.ErrPINFormat) {
		t.Errorf("a PIN that is none: %v", err)
	}
}

func ofPrimes(p, q *big.Int) *rsa.PrivateKey {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: new(big.Int).ModInverse(big.NewInt(65537), phi), Primes: []*big.Int{p, q}}
}

func square(p *big.Int) *rsa.PrivateKey { return ofPrimes(p, p) }

// lopsided is a key whose primes differ in size: correct, and nothing that a TPM could keep.
func lopsided(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	for {
		p, err := rand.Prime(rand.Reader, 1000)
		if err != nil {
			t.Fatal(err)
		}
		q, err := rand.Prime(rand.Reader, 1048)
		if err != nil {
			t.Fatal(err)
		}
		if k := ofPrimes(p, q); k.N.BitLen() == 2048 {
			return k
		}
	}
}

// What the chip has not, and what its filter does not let through, is said.
func TestImportRefusedByTPM(t *testing.T) {
	spec := tpmtest.Simulator(t) // it has 2048 bits only
	for _, row := range []struct {
		profile string
		bits    int
		want    error
	}{{"rsa+import", 3072, provider.ErrSize}, {"rsa", 2048, provider.ErrDenied}} {
		p := under(t, row.profile, spec)
		if _, err := p.Import("web", rsaKey(t, row.bits), provider.Template{}); !errors.Is(err, row.want) {
			t.Errorf("%d bits under %s: %v", row.bits, row.profile, err)
		}
		p.Close()
	}
	tpmtest.NoLeaks(t, spec)
}

// The TPM has the last word on exponents, and takes more than it makes.
func TestImportExponents(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		p := under(t, "rsa+import", spec)
		for exponent, want := range map[int64]error{3: provider.ErrExponent, 17: nil, 65539: nil} {
			k, err := p.Import(big.NewInt(exponent).String(), ofExponent(t, exponent), provider.Template{})
			if !errors.Is(err, want) {
				t.Errorf("exponent %d: %v, want %v", exponent, err, want)
			} else if err == nil {
				checkSigns(t, k)
			}
		}
	})
}

// ofExponent makes a key with a public exponent.
func ofExponent(t *testing.T, exponent int64) *rsa.PrivateKey {
	t.Helper()
	for {
		p, err := rand.Prime(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		q, err := rand.Prime(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		one, e := big.NewInt(1), big.NewInt(exponent)
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		if d := new(big.Int).ModInverse(e, phi); d != nil && new(big.Int).Mul(p, q).BitLen() == 2048 {
			return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(exponent)}, D: d, Primes: []*big.Int{p, q}}
		}
	}
}

// A key is not encrypted to a parent other than the one that was named, so not to that of somebody on the bus.
func TestImportBelowNamedParent(t *testing.T) {
	spec := tpmtest.Simulator(t)
	p := under(t, "rsa+import", spec)
	parent, err := p.NewParent()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Import("web", rsaKey(t, 2048), provider.Template{ParentName: parent.Name()}); err != nil {
		t.Errorf("the parent that was named: %v", err)
	}
	other := under(t, "rsa+import", tpmtest.Simulator(t))
	if _, err := other.Import("web", rsaKey(t, 2048), provider.Template{ParentName: parent.Name()}); !errors.Is(err, provider.ErrParent) {
		t.Errorf("another parent: %v", err)
	}
	if keys, err := other.Keys(); len(keys) > 0 || err != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// An imported key cannot be moved on, whatever the filter allows: no authorization has the role that TPM2_Duplicate wants.
func TestImportedCannotBeDuplicated(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		p := under(t, "migrate", spec)
		k, err := p.Import("web", rsaKey(t, 2048), provider.Template{})
		if err != nil {
			t.Fatal(err)
		}
		parent, err := p.NewParent()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Export(parent); !errors.Is(err, provider.ErrStays) {
			t.Errorf("Export: %v", err)
		}
		p.Close()
		for name, err := range duplicateAnyway(t, spec, k.Path()) {
			if !errors.Is(err, tpm2.TPMRCAuthType) && !errors.Is(err, tpm2.TPMRCPolicyFail) && !errors.Is(err, tpm2.TPMRCAuthUnavailable) {
				t.Errorf("with %s: %v", name, err)
			}
		}
	})
}

// duplicateAnyway tries to get the key of a file out, for a parent that would take it, and tells how each way failed.
func duplicateAnyway(t *testing.T, spec, path string) map[string]error {
	t.Helper()
	d, err := device.OpenWithProfile(spec, "all")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	parent, key := loadFile(t, d, path)
	commandCode := func(tpm transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicyCommandCode{PolicySession: session, Code: tpm2.TPMCCDuplicate}.Execute(tpm)
		return err
	}
	errs := map[string]error{}
	for name, auth := range map[string]tpm2.Session{
		"a password":       tpm2.PasswordAuth(nil),
		"an HMAC session":  tpm2.HMAC(tpm2.TPMAlgSHA256, 16),
		"a policy session": tpm2.Policy(tpm2.TPMAlgSHA256, 16, commandCode),
	} {
		_, errs[name] = tpm2.Duplicate{ObjectHandle: tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: auth}, NewParentHandle: parent,
			Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}.Execute(d)
	}
	return errs
}

// loadFile loads a key file below the standard parent.
func loadFile(t *testing.T, tpm transport.TPM, path string) (parent, key tpm2.NamedHandle) {
	t.Helper()
	file, err := readTSSKey(path)
	if err != nil {
		t.Fatal(err)
	}
	template := tpm2.ECCSRKTemplate
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	parent = tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name}
	loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: file.Privkey, InPublic: file.Pubkey}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return parent, tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}
}

func readTSSKey(path string) (*keyfile.TPMKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return keyfile.Decode(text[bytes.Index(text, []byte("-----BEGIN")):])
}
