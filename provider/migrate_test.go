package provider_test

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

func newParent(t *testing.T, p *provider.Provider) *provider.StorageKey {
	t.Helper()
	parent, err := p.NewParent()
	if err != nil {
		t.Fatal(err)
	}
	again, err := provider.ParseStorageKey(parent.Format()) // as it reaches the other side
	if err != nil || !bytes.Equal(again.Name(), parent.Name()) {
		t.Fatalf("read back: %v", err)
	}
	return again
}

func migratable(t *testing.T, p *provider.Provider, pin string) *provider.Key {
	t.Helper()
	k, err := p.Create("web", provider.Template{Migratable: true, PIN: []byte(pin), Label: "travels", ID: []byte{1, 2}})
	if err == nil && pin != "" {
		err = k.GivePIN([]byte(pin))
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func export(t *testing.T, k *provider.Key, to *provider.StorageKey) []byte {
	t.Helper()
	text, err := k.Export(to)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A key made for it works in another TPM, with its PIN, and goes on working in the first.
func TestMigrate(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		chip := tpmtest.Record(tpmtest.Dial(t, spec))
		from, to := under(t, "migrate", tpmtest.Serve(t, chip)), under(t, "migrate", tpmtest.Simulator(t))
		k := migratable(t, from, "right")
		text := export(t, k, newParent(t, to))
		moved, err := to.Adopt("", text)
		if err != nil {
			t.Fatal(err)
		}
		if moved.Name() != "travels" || moved.Label() != "travels" || !bytes.Equal(moved.ID(), k.ID()) || !moved.HasPIN() || !moved.Public().Equal(k.Public()) {
			t.Errorf("name %q, label %q, id %x, PIN %v", moved.Name(), moved.Label(), moved.ID(), moved.HasPIN())
		}
		if k.Origin() != provider.OriginMigratable || moved.Origin() != provider.OriginMigratable {
			t.Errorf("origins %s and %s", k.Origin(), moved.Origin())
		}
		for pin, want := range map[string]error{"wrong": provider.ErrWrongPIN, "right": nil} {
			if err := moved.GivePIN([]byte(pin)); err != nil {
				t.Fatal(err)
			}
			if _, err := moved.RawRSA(make([]byte, 256)); !errors.Is(err, want) {
				t.Errorf("PIN %q: %v", pin, err)
			}
		}
		checkSigns(t, k)
		for _, e := range chip.Log() {
			if bytes.Contains(e.Command, []byte("right")) {
				t.Errorf("the PIN is in command %#x", e.Code())
			}
		}
	})
}

// Where the owner has a password, the parent is the persistent key, also an RSA one.
func TestMigrateBelowRSAParent(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.Simulator(t))
	persistRSA(t, chip)
	ownerPassword(t, chip, "secret")
	from, to := under(t, "migrate", tpmtest.Simulator(t)), under(t, "migrate", tpmtest.Serve(t, chip))
	moved, err := to.Adopt("moved", export(t, migratable(t, from, ""), newParent(t, to)))
	if err != nil {
		t.Fatal(err)
	}
	checkSigns(t, moved)
	imported, err := to.Import("imported", rsaKey(t, 2048), provider.Template{ParentName: moved.ParentName()})
	if err != nil {
		t.Fatal(err)
	}
	checkSigns(t, imported)
	if !bytes.Equal(moved.ParentName(), imported.ParentName()) {
		t.Errorf("parents %x and %x", moved.ParentName(), imported.ParentName())
	}
}

// A key that was moved can be moved on, and back.
func TestMigrateOn(t *testing.T) {
	first, second := under(t, "migrate", tpmtest.Simulator(t)), under(t, "migrate", tpmtest.Simulator(t))
	k := migratable(t, first, "")
	moved, err := second.Adopt("moved", export(t, k, newParent(t, second)))
	if err != nil {
		t.Fatal(err)
	}
	back, err := first.Adopt("back", export(t, moved, newParent(t, first)))
	if err != nil {
		t.Fatal(err)
	}
	checkSigns(t, back)
}

// Whoever does not know the PIN moves nothing, nor does he whose filter does not let him; what was made to stay stays.
func TestExportRefuses(t *testing.T) {
	spec := tpmtest.Simulator(t)
	p := under(t, "migrate", spec)
	parent := newParent(t, p)
	k := migratable(t, p, "right")
	if err := k.GivePIN([]byte("wrong")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Export(parent); !errors.Is(err, provider.ErrWrongPIN) {
		t.Errorf("a wrong PIN: %v", err)
	}
	if _, err := k.Export(parent); !errors.Is(err, provider.ErrPIN) { // the wrong one is forgotten
		t.Errorf("no PIN: %v", err)
	}
	stays, err := p.Create("stays", provider.Template{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stays.Export(parent); !errors.Is(err, provider.ErrStays) || !strings.Contains(err.Error(), "-migratable") {
		t.Errorf("a key that stays: %v", err)
	}
	for name, err := range duplicateAnyway(t, spec, stays.Path()) {
		var rc tpm2.TPMRC
		if !errors.As(err, &rc) {
			t.Errorf("a key that stays, duplicated with %s: %v", name, err)
		}
	}
	for name, err := range duplicateAnyway(t, spec, k.Path()) {
		if !errors.Is(err, tpm2.TPMRCAuthType) && !errors.Is(err, tpm2.TPMRCPolicyFail) && !errors.Is(err, tpm2.TPMRCAuthUnavailable) {
			t.Errorf("a key that can leave, without its PIN and with %s: %v", name, err)
		}
	}
	underDefault(t, spec, filepath.Dir(k.Path()), parent)
}

// underDefault tries with the right PIN what the default filter denies.
func underDefault(t *testing.T, spec, dir string, parent *provider.StorageKey) {
	t.Helper()
	p := openIn(t, dir, spec)
	k, err := p.Key("web")
	if err == nil {
		err = k.GivePIN([]byte("right"))
	}
	if err != nil {
		t.Fatal(err)
	}
	checkSigns(t, k)
	if _, err := k.Export(parent); !errors.Is(err, provider.ErrDenied) {
		t.Errorf("export under the default filter: %v", err)
	}
	if _, err := p.Create("other", provider.Template{Migratable: true}); !errors.Is(err, provider.ErrDenied) {
		t.Errorf("create under the default filter: %v", err)
	}
}

// What was wrapped for another TPM, or was changed on its way, is refused and leaves nothing.
func TestAdoptRefuses(t *testing.T) {
	from, to := under(t, "migrate", tpmtest.Simulator(t)), under(t, "migrate", tpmtest.Simulator(t))
	k := migratable(t, from, "")
	parent := newParent(t, to)
	text := export(t, k, parent)
	own, err := os.ReadFile(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		text []byte
		want error
	}{
		"for another TPM":             {export(t, k, newParent(t, from)), provider.ErrParent},
		"for another TPM, unsaid":     {withoutLines(export(t, k, newParent(t, from))), provider.ErrWrongTPM},
		"a key that is not wrapped":   {own, provider.ErrFormat},
		"nothing":                     {nil, provider.ErrFormat},
		"the duplicate, changed":      {flip(t, text, -40), provider.ErrWrongTPM},
		"cut short":                   {text[:len(text)/2], provider.ErrFormat},
		"the public part, changed":    {flip(t, text, 300), nil},
		"the seed's length, impaired": {flip(t, text, 23), nil},
		"a label that moves cursors":  {relabelled(text, `"\x1b[31m"`), provider.ErrName},
		"a label of a megabyte":       {relabelled(text, `"`+strings.Repeat("x", 1<<20)+`"`), provider.ErrName},
		"an id that is too long":      {append([]byte("tpmkey-id: "+strings.Repeat("00", 256)+"\n"), withoutLines(text)...), provider.ErrName},
	} {
		if _, err := to.Adopt("bad", row.text); err == nil || !errors.Is(err, row.want) && row.want != nil {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
	if keys, err := to.Keys(); len(keys) > 0 || err != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if _, err := to.Adopt("good", text); err != nil {
		t.Errorf("what was not changed: %v", err)
	}
	if _, err := to.Adopt("good", text); !errors.Is(err, provider.ErrExists) {
		t.Errorf("a second time: %v", err)
	}
}

func relabelled(text []byte, label string) []byte {
	return append([]byte("tpmkey-label: "+label+"\n"), withoutLines(text)...)
}

// An attestation key that somebody made in software and wrapped does not come in, whatever the filter lets through.
func TestAdoptNoAttestationKey(t *testing.T) {
	p := under(t, "all", tpmtest.Simulator(t))
	parent, err := tpm2.ImportEncapsulationKey(publicOf(t, newParent(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	private, public := rsaKey(t, 2048), tpm2.RSASRKTemplate
	public.ObjectAttributes = tpm2.TPMAObject{SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true, Restricted: true}
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048, Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA,
		Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}})
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: private.N.Bytes()})
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		t.Fatal(err)
	}
	duplicate, seed, err := tpm2.CreateDuplicate(rand.Reader, parent, name.Buffer, tpm2.Marshal(tpm2.TPMTSensitive{SensitiveType: tpm2.TPMAlgRSA,
		Sensitive: tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgRSA, &tpm2.TPM2BPrivateKeyRSA{Buffer: private.Primes[0].Bytes()})}))
	if err != nil {
		t.Fatal(err)
	}
	text := keyfile.NewTPMKey(keyfile.OIDImportableKey, tpm2.New2B(public), tpm2.TPM2BPrivate{Buffer: duplicate}, keyfile.WithParent(tpm2.TPMRHOwner))
	text.Secret = tpm2.TPM2BEncryptedSecret{Buffer: seed}
	if k, err := p.Adopt("forger", text.Bytes()); !errors.Is(err, provider.ErrFormat) || !strings.Contains(err.Error(), "attestation") {
		t.Errorf("%v, %v", k, err)
	}
}

func withoutLines(text []byte) []byte { return text[bytes.Index(text, []byte("-----BEGIN")):] }

// flip changes a bit of a PEM block, at an offset from its beginning or its end.
func flip(t *testing.T, text []byte, at int) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM block")
	}
	if at < 0 {
		at += len(block.Bytes)
	}
	block.Bytes[at] ^= 1
	return pem.EncodeToMemory(block)
}

func TestStorageKeyRefuses(t *testing.T) {
	attestation := tpm2.ECCSRKTemplate
	attestation.ObjectAttributes.SignEncrypt, attestation.ObjectAttributes.Decrypt = true, false
	leaves := tpm2.ECCSRKTemplate
	leaves.ObjectAttributes.FixedTPM, leaves.ObjectAttributes.FixedParent = false, false
	junk := make([]byte, 100)
	if _, err := rand.Read(junk); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing":             nil,
		"junk":                junk,
		"another PEM":         []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"an attestation key":  marshalled(attestation),
		"one that can leave":  marshalled(leaves),
		"a template":          marshalled(tpm2.ECCSRKTemplate), // its point is not on the curve
		"something behind it": append(marshalled(tpm2.RSASRKTemplate), 0),
	} {
		if _, err := provider.ParseStorageKey(text); !errors.Is(err, provider.ErrStorageKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func marshalled(public tpm2.TPMTPublic) []byte { return tpm2.Marshal(tpm2.New2B(public)) }

// The policy that keys are made with is the one that the TPM computes when it is fulfilled.
func TestDuplicationPolicy(t *testing.T) {
	d, err := device.OpenWithProfile(tpmtest.Simulator(t), "all")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	session, done, err := tpm2.PolicySession(d, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, step := range []func(transport.TPM) error{
		func(tpm transport.TPM) error {
			_, err := tpm2.PolicyCommandCode{PolicySession: session.Handle(), Code: tpm2.TPMCCDuplicate}.Execute(tpm)
			return err
		},
		func(tpm transport.TPM) error {
			_, err := tpm2.PolicyAuthValue{PolicySession: session.Handle()}.Execute(tpm)
			return err
		},
	} {
		if err := step(d); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(d)
	if err != nil {
		t.Fatal(err)
	}
	k := migratable(t, under(t, "migrate", tpmtest.Simulator(t)), "")
	file, err := readTSSKey(k.Path())
	if err != nil {
		t.Fatal(err)
	}
	public, err := file.Pubkey.Contents()
	if err != nil || !bytes.Equal(public.AuthPolicy.Buffer, digest.PolicyDigest.Buffer) {
		t.Errorf("policy %x, the TPM computes %x, %v", public.AuthPolicy.Buffer, digest.PolicyDigest.Buffer, err)
	}
}
