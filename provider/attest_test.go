package provider_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/attest"
	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// attesting gives a provider whose filter lets it attest.
func attesting(t testing.TB, dir, spec string) *provider.Provider {
	t.Helper()
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.OpenWithProfile(spec, "attest") })
	t.Cleanup(func() { p.Close() })
	return p
}

func attestationKey(t testing.TB, p *provider.Provider, template provider.Template) *provider.Key {
	t.Helper()
	template.Attestation = true
	ak, err := p.Create("ak", template)
	if err != nil {
		t.Fatal(err)
	}
	return ak
}

func anchorOf(t testing.TB, ak *provider.Key) *attest.Anchor {
	t.Helper()
	text, err := ak.Anchor()
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := attest.ParseAnchor(text)
	if err != nil {
		t.Fatal(err)
	}
	return anchor
}

var nonce = []byte("nonce")

// forgetCreation takes the line out of a key file that older versions and other tools do not write.
func forgetCreation(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	without := regexp.MustCompile("tpmkey-creation: .*\n").ReplaceAll(text, nil)
	if len(without) == len(text) {
		t.Fatal("the file does not tell how the key was made")
	}
	if err := os.WriteFile(path, without, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A verifier without a TPM learns that a key was made in one, also when both keys have PINs, and when the file does not tell how.
func TestAttest(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		for name, pin := range map[string][]byte{"no PIN": nil, "PINs": []byte("1234")} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				p := attesting(t, dir, spec)
				asked := 0
				p.AskPIN(func(*provider.Key, error) ([]byte, error) { asked++; return bytes.Clone(pin), nil })
				ak := attestationKey(t, p, provider.Template{PIN: pin})
				k, err := p.Create("web", provider.Template{PIN: pin, Challenge: []byte("challenge")})
				if err != nil {
					t.Fatal(err)
				}
				e := attested(t, k, ak, "creation")
				if e.Creation == nil || string(e.Creation.Challenge) != "challenge" || !bytes.Equal(e.Creation.ParentName, k.ParentName()) {
					t.Errorf("%+v", e.Creation)
				}
				if pin != nil && asked != 1 {
					t.Errorf("%d PINs were asked for, of which the attestation key's is needed", asked)
				}
				forgetCreation(t, k.Path())
				if k, err = p.Key("web"); err != nil {
					t.Fatal(err)
				}
				if e := attested(t, k, ak, "certify"); e.Creation != nil {
					t.Errorf("%+v", e.Creation)
				}
			})
		}
		tpmtest.NoLeaks(t, spec)
	})
}

func attested(t *testing.T, k, ak *provider.Key, file string) *attest.Evidence {
	t.Helper()
	text, err := k.Attest(ak, nonce)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.Verify(text, anchorOf(t, ak), nonce)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Public.Equal(k.Public()) || !e.Restricted || !bytes.Equal(e.Nonce, nonce) {
		t.Errorf("%+v", e)
	}
	if _, err := attest.Verify(text, anchorOf(t, ak), []byte("another")); !errors.Is(err, attest.ErrNonce) {
		t.Errorf("another nonce: %v", err)
	}
	if tpmtest.Update() {
		record(t, ak, text, file)
	}
	return e
}

// record keeps evidence for the tests of package attest.
func record(t *testing.T, ak *provider.Key, evidence []byte, file string) {
	t.Helper()
	anchor, err := ak.Anchor()
	path := filepath.Join("..", "attest", "testdata", file)
	if err := errors.Join(err, os.WriteFile(path+".evidence", evidence, 0o644), os.WriteFile(path+".anchor", anchor, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// An attestation key is no key for programs.
func TestAttestationKeyIsApart(t *testing.T) {
	spec, dir := tpmtest.SWTPM(t), t.TempDir()
	p := attesting(t, dir, spec)
	ak := attestationKey(t, p, provider.Template{})
	k := create(t, p, "web")
	keys, err := p.Keys()
	if err != nil || len(keys) != 1 || keys[0].Name() != "web" {
		t.Errorf("keys for programs: %v, %v", keys, err)
	}
	if all, err := p.AllKeys(); err != nil || len(all) != 2 {
		t.Errorf("all keys: %v, %v", all, err)
	}
	_, sign := ak.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
	_, pss := ak.SignPSS(crypto.SHA256, sum(crypto.SHA256), 32)
	_, decrypt := ak.DecryptPKCS1v15(make([]byte, 256))
	_, raw := ak.RawRSA(make([]byte, 256))
	for i, err := range []error{sign, pss, decrypt, raw} {
		if !errors.Is(err, provider.ErrUsage) || !strings.Contains(err.Error(), "it is for tpmkey attest") {
			t.Errorf("operation %d: %v", i, err)
		}
	}
	_, withOrdinary := k.Attest(k, nil)
	_, ofItself := ak.Attest(ak, nil)
	_, ofOrdinary := k.Anchor()
	for i, err := range []error{withOrdinary, ofItself, ofOrdinary} {
		if !errors.Is(err, provider.ErrUsage) {
			t.Errorf("roles exchanged, %d: %v", i, err)
		}
	}
	if _, err := k.Attest(ak, make([]byte, provider.MaxNonce)); err != nil {
		t.Errorf("the longest nonce: %v", err)
	}
	if _, err := k.Attest(ak, make([]byte, provider.MaxNonce+1)); err == nil {
		t.Error("a longer nonce was taken")
	}
}

// Under the default filter nothing of this works.
func TestAttestIsDenied(t *testing.T) {
	spec, dir := tpmtest.Simulator(t), t.TempDir()
	wide := attesting(t, dir, spec)
	attestationKey(t, wide, provider.Template{})
	create(t, wide, "web")
	wide.Close()
	p := openIn(t, dir, spec)
	keys := map[string]*provider.Key{}
	for _, name := range []string{"ak", "web"} {
		k, err := p.Key(name)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = k
	}
	_, attest := keys["web"].Attest(keys["ak"], nil)
	_, create := p.Create("other", provider.Template{Attestation: true})
	_, change := p.ChangePIN(keys["ak"], []byte("1"))
	for i, err := range []error{attest, create, change} {
		if !errors.Is(err, provider.ErrDenied) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "other.pem")); err == nil {
		t.Error("a file of a key that was not made")
	}
}

// The PIN that is asked for again is the one that was wrong.
func TestAttestWrongPIN(t *testing.T) {
	p := attesting(t, t.TempDir(), tpmtest.SWTPM(t))
	ak := attestationKey(t, p, provider.Template{PIN: []byte("ak's")})
	k, err := p.Create("web", provider.Template{PIN: []byte("web's")})
	if err != nil {
		t.Fatal(err)
	}
	forgetCreation(t, k.Path())
	if k, err = p.Key("web"); err != nil {
		t.Fatal(err)
	}
	for wrong := range map[string]bool{"ak": true, "web": true} {
		p.ForgetPINs()
		var asked []string
		p.AskPIN(func(k *provider.Key, before error) ([]byte, error) {
			asked = append(asked, k.Name())
			if k.Name() == wrong && before == nil {
				return []byte("wrong"), nil
			}
			return []byte(k.Name() + "'s"), nil
		})
		if _, err := k.Attest(ak, nonce); err != nil {
			t.Errorf("with one wrong PIN of %s: %v", wrong, err)
		}
		if count := slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return name != wrong }); len(count) != 2 || len(asked) != 3 {
			t.Errorf("wrong PIN of %s: asked %v", wrong, asked)
		}
	}
	p.ForgetPINs()
	asked := 0
	p.AskPIN(func(*provider.Key, error) ([]byte, error) { asked++; return []byte("wrong"), nil })
	if _, err := k.Attest(ak, nonce); !errors.Is(err, provider.ErrWrongPIN) || asked > 4 {
		t.Errorf("wrong PINs only: %v, asked %d times", err, asked)
	}
}

// A new PIN and a new name leave the evidence of the creation in the file.
func TestCreationStays(t *testing.T) {
	p := attesting(t, t.TempDir(), tpmtest.SWTPM(t))
	ak := attestationKey(t, p, provider.Template{})
	k := create(t, p, "web")
	changed, err := p.ChangePIN(k, []byte("1234"))
	if err != nil {
		t.Fatal(err)
	}
	renamed, err := p.Rename(changed, "www")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(renamed.Path()); err != nil || !bytes.Contains(text, []byte("\ntpmkey-creation: ")) {
		t.Errorf("%s, %v", text, err)
	}
	if e := attested(t, renamed, ak, "creation"); e.Creation == nil {
		t.Error("the evidence does not tell how the key was made")
	}
}

// A ticket of another key convinces no TPM.
func TestForeignTicket(t *testing.T) {
	p := attesting(t, t.TempDir(), tpmtest.SWTPM(t))
	ak := attestationKey(t, p, provider.Template{})
	k, other := create(t, p, "web"), create(t, p, "other")
	line := regexp.MustCompile("tpmkey-creation: .*\n")
	text, err := os.ReadFile(k.Path())
	foreign, err2 := os.ReadFile(other.Path())
	if err := errors.Join(err, err2, os.WriteFile(k.Path(), line.ReplaceAll(text, line.Find(foreign)), 0o600)); err != nil {
		t.Fatal(err)
	}
	if k, err = p.Key("web"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Attest(ak, nonce); !errors.Is(err, tpm2.TPMRCTicket) || !strings.Contains(err.Error(), "did not make the key as its file says") {
		t.Errorf("%v", err)
	}
}

// A public area that says of itself that it was made here, of a key that was made elsewhere: a TPM loads it, and certifies it not.
func TestNoEvidenceOfPublicAreaAlone(t *testing.T) {
	software, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		raw := tpmtest.Dial(t, spec)
		area := tpmtest.RSATemplate()
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: software.N.Bytes()})
		object, err := tpm2.LoadExternal{InPublic: tpm2.New2B(area), Hierarchy: tpm2.TPMRHOwner}.Execute(raw)
		if err != nil {
			t.Fatal(err)
		}
		restricted := tpmtest.RSATemplate()
		restricted.ObjectAttributes.Restricted, restricted.ObjectAttributes.Decrypt = true, false
		restricted.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}})
		ak, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(restricted)}.Execute(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tpm2.Certify{ObjectHandle: tpm2.NamedHandle{Handle: object.ObjectHandle, Name: object.Name}, SignHandle: tpm2.NamedHandle{Handle: ak.ObjectHandle, Name: ak.Name},
			InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}}.Execute(raw)
		if !errors.As(err, new(tpm2.TPMRC)) {
			t.Errorf("certified: %v", err)
		}
	})
}
