package provider_test

//lint:file-ignore SA1019 PKCS #1 v1.5 encryption is deprecated and still what programs ask for

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// dialing gives a provider of one directory on a device.
func dialing(t testing.TB, spec string) *provider.Provider {
	t.Helper()
	return openIn(t, t.TempDir(), spec)
}

func openIn(t testing.TB, dir, spec string) *provider.Provider {
	t.Helper()
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	t.Cleanup(func() { p.Close() })
	return p
}

func create(t testing.TB, p *provider.Provider, name string) *provider.Key {
	t.Helper()
	k, err := p.Create(name, provider.Template{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var message = []byte("what is signed")

func sum(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

var hashes = []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512}

func TestSignAndDecrypt(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		p := dialing(t, spec)
		k := create(t, p, "web")
		for _, hash := range append(slices.Clone(hashes), crypto.SHA224) {
			digest := sum(hash)
			signature, err := k.SignPKCS1v15(hash, digest)
			if err != nil {
				t.Errorf("PKCS #1 v1.5 with %v: %v", hash, err)
			} else if err := rsa.VerifyPKCS1v15(k.Public(), hash, digest, signature); err != nil {
				t.Errorf("PKCS #1 v1.5 with %v: %v", hash, err)
			}
			for _, salt := range []int{0, 1, hash.Size(), k.Public().Size() - hash.Size() - 2} {
				signature, err := k.SignPSS(hash, digest, salt)
				if err != nil {
					t.Errorf("PSS with %v and a salt of %d: %v", hash, salt, err)
				} else if err := rsa.VerifyPSS(k.Public(), hash, digest, signature, &rsa.PSSOptions{SaltLength: salt, Hash: hash}); salt > 0 && err != nil {
					t.Errorf("PSS with %v and a salt of %d: %v", hash, salt, err)
				}
			}
		}
		if _, err := k.SignPSS(crypto.SHA256, sum(crypto.SHA256), 300); err == nil {
			t.Error("a salt that does not fit was taken")
		}
		testDecrypt(t, k)
		testRaw(t, k)
	})
}

func testDecrypt(t *testing.T, k *provider.Key) {
	ciphertext, err := rsa.EncryptPKCS1v15(rand.Reader, k.Public(), message)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := k.DecryptPKCS1v15(ciphertext); err != nil || !bytes.Equal(plaintext, message) {
		t.Errorf("PKCS #1 v1.5: %q, %v", plaintext, err)
	}
	for _, row := range []struct {
		hash, mgf crypto.Hash
		label     string
	}{{crypto.SHA1, crypto.SHA1, ""}, {crypto.SHA256, crypto.SHA256, ""}, {crypto.SHA256, crypto.SHA256, "label"}, {crypto.SHA384, crypto.SHA1, ""}, {crypto.SHA512, crypto.SHA512, "x\x00"}} {
		ciphertext, err := rsa.EncryptOAEPWithOptions(rand.Reader, k.Public(), message, &rsa.OAEPOptions{Hash: row.hash, MGFHash: row.mgf, Label: []byte(row.label)})
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := k.DecryptOAEP(row.hash, row.mgf, []byte(row.label), ciphertext)
		if err != nil || !bytes.Equal(plaintext, message) {
			t.Errorf("OAEP %+v: %q, %v", row, plaintext, err)
		}
		if _, err := k.DecryptOAEP(row.hash, row.mgf, []byte("another"), ciphertext); err == nil {
			t.Errorf("OAEP %+v: decrypted with another label", row)
		}
	}
}

func testRaw(t *testing.T, k *provider.Key) {
	digest := sum(crypto.SHA256)
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, digest...)
	signature, err := k.SignPKCS1v15(0, info)
	if err != nil || rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, digest, signature) != nil {
		t.Errorf("a whole DigestInfo: %v", err)
	}
	signature, err = k.SignPKCS1v15(0, message)
	if err != nil || rsa.VerifyPKCS1v15(k.Public(), 0, message, signature) != nil {
		t.Errorf("data that is no DigestInfo: %v", err)
	}
	if _, err := k.RawRSA(message); err == nil {
		t.Error("a raw operation on too few bytes was done")
	}
}

// counted gives a provider through a manager on a recorder, whose commands are what reaches the chip.
func counted(t *testing.T, persistent bool) (*provider.Provider, *tpmtest.Recorder) {
	t.Helper()
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	if persistent {
		tpmtest.PersistSRK(t, raw)
	}
	recorder := tpmtest.Record(raw)
	return dialing(t, tpmtest.Serve(t, recorder)), recorder
}

func TestCommandCounts(t *testing.T) {
	for _, row := range []struct {
		name       string
		persistent bool
		want       []tpm2.TPMCC
	}{
		{"parent persistent", true, []tpm2.TPMCC{tpm2.TPMCCReadPublic, tpm2.TPMCCLoad, tpm2.TPMCCSign, tpm2.TPMCCFlushContext}},
		{"nothing persistent", false, []tpm2.TPMCC{tpm2.TPMCCReadPublic, tpm2.TPMCCCreatePrimary, tpm2.TPMCCLoad, tpm2.TPMCCSign, tpm2.TPMCCFlushContext, tpm2.TPMCCFlushContext}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, recorder := counted(t, row.persistent)
			k := create(t, p, "web")
			p.Close()
			recorder.Reset()
			sign := func() {
				if _, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); err != nil {
					t.Error(err)
				}
			}
			sign()
			p.Close()
			var got []tpm2.TPMCC
			for _, code := range recorder.Commands() {
				got = append(got, tpm2.TPMCC(code))
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("the chip saw %v, want %v", got, row.want)
			}
			sign()
			recorder.Reset()
			if sign(); recorder.Count() != 1 {
				t.Errorf("%d commands for a further signature", recorder.Count())
			}
		})
	}
}

func TestPublicPartsNeedNoTPM(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	dir := t.TempDir()
	made := create(t, openIn(t, dir, spec), "web")
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return nil, errors.New("dialled") })
	k, err := p.Key("web")
	if err != nil {
		t.Fatal(err)
	}
	if !k.Public().Equal(made.Public()) || k.Label() != "web" || !bytes.Equal(k.ID(), made.ID()) || len(k.ID()) != 20 ||
		!bytes.Equal(k.ParentName(), made.ParentName()) || k.Parent() != 0x40000001 || !k.NoDA() || !k.CanSign() || !k.CanDecrypt() || k.HasPIN() || k.Certificate() != nil {
		t.Errorf("what the file says: %+v", k)
	}
	if _, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); !errors.Is(err, provider.ErrNoTPM) || !strings.Contains(err.Error(), "dialled") {
		t.Errorf("sign without a TPM: %v", err)
	}
	sum := sha1.Sum(k.Public().N.Bytes())
	if !bytes.Equal(k.ID(), sum[:]) {
		t.Errorf("id %x", k.ID())
	}
}

// A lost connection, and a manager that has forgotten everything, cost nothing but time.
func TestReconnects(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	var last *device.Device
	dials := 0
	p := provider.Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) {
		dials++
		d, err := device.Open(spec)
		last = d
		return d, err
	})
	defer p.Close()
	k := create(t, p, "web")
	for range 3 {
		if _, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); err != nil {
			t.Error(err)
		}
		last.Close()
	}
	if dials != 3 {
		t.Errorf("dialled %d times", dials)
	}
}

func TestConcurrentUse(t *testing.T) {
	p := dialing(t, tpmtest.SWTPM(t))
	keys := []*provider.Key{create(t, p, "a"), create(t, p, "b"), create(t, p, "c"), create(t, p, "d")}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				k := keys[(i+n)%len(keys)]
				signature, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
				if err != nil || rsa.VerifyPKCS1v15(k.Public(), crypto.SHA256, sum(crypto.SHA256), signature) != nil {
					t.Errorf("signature: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// A key of another TPM is refused in words: by the pinned parent, and where nothing is pinned by what the chip says.
func TestOtherTPM(t *testing.T) {
	dir := t.TempDir()
	create(t, openIn(t, dir, tpmtest.SWTPM(t)), "web")
	other := openIn(t, dir, tpmtest.SWTPM(t))
	sign := func() error {
		k, err := other.Key("web")
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
		return err
	}
	if err := sign(); !errors.Is(err, provider.ErrWrongTPM) || !strings.Contains(err.Error(), "cleared or replaced") {
		t.Errorf("pinned: %v", err)
	}
	path := filepath.Join(dir, "web.pem")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[bytes.Index(text, []byte("-----BEGIN")):], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sign(); !errors.Is(err, provider.ErrWrongTPM) || !errors.Is(err, tpm2.TPMRCIntegrity) {
		t.Errorf("not pinned: %v", err)
	}
}

// A key whose file names a parent that is not there, or one that the filter keeps from us.
func TestOtherParent(t *testing.T) {
	chip := tpmtest.SWTPM(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		parent uint32
		want   error
		says   string
	}{
		{0x81000001, provider.ErrWrongTPM, "nothing is at its parent's handle 0x81000001"},
		{0x81000005, provider.ErrDenied, "ask the administrator for another filter"},
		{0x4000000B, provider.ErrFormat, "is the endorsement hierarchy"},
	} {
		dir := t.TempDir()
		text := tpmtest.KeyFile(t, tpmtest.RSATemplate(), &key.PublicKey, row.parent)
		if err := os.WriteFile(filepath.Join(dir, "web.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		p := openIn(t, dir, chip)
		k, err := p.Key("web")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); !errors.Is(err, row.want) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("parent %#x: %v", row.parent, err)
		}
		p.Close()
	}
}

// Files that go-tpm-keyfiles, which ssh-tpm-agent is made of, writes work here; ours work there.
func TestGoTPMKeyfiles(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	theirs, err := func() (*keyfile.TPMKey, error) {
		tpm := tpmtest.Dial(t, spec)
		defer tpm.Close()
		return keyfile.NewLoadableKey(tpm, tpm2.TPMAlgRSA, 2048, nil, keyfile.WithDescription("theirs"))
	}()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "theirs.pem"), theirs.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := openIn(t, dir, spec)
	k, err := p.Key("theirs")
	if err != nil {
		t.Fatal(err)
	}
	checkSigns(t, k)
	ours := create(t, p, "ours")
	p.Close()
	text, err := os.ReadFile(ours.Path())
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := keyfile.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	signer, err := decoded.Signer(tpmtest.Dial(t, spec), []byte(""), []byte(""))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil || rsa.VerifyPKCS1v15(ours.Public(), crypto.SHA256, digest[:], signature) != nil {
		t.Errorf("our key in go-tpm-keyfiles: %v", err)
	}
}

func checkSigns(t *testing.T, k *provider.Key) {
	t.Helper()
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
		signature, err := k.SignPKCS1v15(hash, sum(hash))
		if err != nil || rsa.VerifyPKCS1v15(k.Public(), hash, sum(hash), signature) != nil {
			t.Errorf("key %q: %v", k.Name(), err)
		}
	}
	digest := sha512.Sum512(message)
	signature, err := k.SignPSS(crypto.SHA512, digest[:], 64)
	if err != nil || rsa.VerifyPSS(k.Public(), crypto.SHA512, digest[:], signature, &rsa.PSSOptions{SaltLength: 64}) != nil {
		t.Errorf("key %q: %v", k.Name(), err)
	}
}

// Files of `openssl genpkey -provider tpm2` work here; ours work there.
func TestTPM2OpenSSL(t *testing.T) {
	tpmtest.Need(t, "openssl")
	spec := tpmtest.SWTPM(t)
	dir := t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		c := exec.Command("openssl", args...)
		path := strings.TrimPrefix(spec, "unix:")
		c.Env = append(os.Environ(), "TPM2OPENSSL_TCTI=swtpm:path="+path, "TPM2TOOLS_TCTI=swtpm:path="+path)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	theirs := filepath.Join(dir, "theirs.pem")
	openssl("genpkey", "-provider", "tpm2", "-algorithm", "RSA", "-pkeyopt", "bits:2048", "-out", theirs)
	if err := os.Chmod(theirs, 0o600); err != nil {
		t.Fatal(err)
	}
	p := openIn(t, dir, spec)
	k, err := p.Key("theirs")
	if err != nil {
		t.Fatal(err)
	}
	checkSigns(t, k)
	ours := create(t, p, "ours")
	p.Close()
	data, signature := filepath.Join(dir, "data"), filepath.Join(dir, "signature")
	if err := os.WriteFile(data, message, 0o600); err != nil {
		t.Fatal(err)
	}
	openssl("dgst", "-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2", "-sha256", "-sign", ours.Path(), "-out", signature, data)
	written, err := os.ReadFile(signature)
	if err != nil || rsa.VerifyPKCS1v15(ours.Public(), crypto.SHA256, sum(crypto.SHA256), written) != nil {
		t.Errorf("our key in tpm2-openssl: %v", err)
	}
}
