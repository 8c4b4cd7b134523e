package token

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

var (
	onToken   = attribute{CKA_TOKEN, boolean(true)}
	inSession = attribute{CKA_TOKEN, boolean(false)}
)

func named(label string) attribute { return attribute{CKA_LABEL, []byte(label)} }

func ofClass(class uint64) attribute { return attribute{CKA_CLASS, number(class)} }

// value gives an attribute of an object.
func (h *host) value(s, object field, kind attributeType) []byte {
	h.t.Helper()
	_, b := filled(h.want(CKR_OK, fnGetAttributeValue, s, object, num(1), num(kind), have(8192)))
	return b
}

func (h *host) wantValue(s, object field, kind attributeType, want []byte) {
	h.t.Helper()
	if got := h.value(s, object, kind); !bytes.Equal(got, want) {
		h.t.Errorf("attribute %#x is %x, want %x", kind, got, want)
	}
}

func (h *host) create(s field, list ...attribute) field {
	h.t.Helper()
	return num(h.want(CKR_OK, fnCreateObject, s, attrs(list...)).number())
}

func softwareKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// certify makes a certificate of a public key.
func certify(t testing.TB, public *rsa.PublicKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(0x80), Subject: pkix.Name{CommonName: "demo"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, softwareKey(t, 2048))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func certificateTemplate(c *x509.Certificate) template {
	return template{ofClass(CKO_CERTIFICATE), {CKA_CERTIFICATE_TYPE, number(CKC_X_509)}, {CKA_SUBJECT, c.RawSubject}, {CKA_VALUE, c.Raw}}
}

func publicTemplate(k *rsa.PublicKey) template {
	return template{ofClass(CKO_PUBLIC_KEY), {CKA_KEY_TYPE, number(CKK_RSA)}, {CKA_MODULUS, k.N.Bytes()}, {CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}}}
}

func privateTemplate(k *rsa.PrivateKey) template {
	return template{ofClass(CKO_PRIVATE_KEY), {CKA_KEY_TYPE, number(CKK_RSA)}, {CKA_MODULUS, k.N.Bytes()}, {CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}},
		{CKA_PRIVATE_EXPONENT, k.D.Bytes()}, {CKA_PRIME_1, k.Primes[0].Bytes()}, {CKA_PRIME_2, k.Primes[1].Bytes()}}
}

// What is wrong with a template, whatever class it is of.
func TestCreateErrors(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s := h.session()
	readOnly := num(h.want(CKR_OK, fnOpenSession, num(slotID), num(CKF_SERIAL_SESSION)).number())
	k := softwareKey(t, 2048)
	public, private, crt := publicTemplate(&k.PublicKey), privateTemplate(k), certificateTemplate(certify(t, &k.PublicKey))
	without := func(t template, kind attributeType) template {
		return slices.DeleteFunc(slices.Clone(t), func(a attribute) bool { return a.kind == kind })
	}
	with := func(t template, more ...attribute) template { return append(slices.Clone(t), more...) }
	secret := ofClass(4) // CKO_SECRET_KEY
	for _, row := range []struct {
		name     string
		template template
		want     CKR
	}{
		{"nothing", nil, CKR_TEMPLATE_INCOMPLETE},
		{"no class", template{onToken}, CKR_TEMPLATE_INCOMPLETE},
		{"a secret key", template{secret}, CKR_ATTRIBUTE_VALUE_INVALID},
		{"a class of one byte", template{{CKA_CLASS, []byte{0}}}, CKR_ATTRIBUTE_VALUE_INVALID},
		{"two classes", with(public, ofClass(CKO_DATA)), CKR_TEMPLATE_INCONSISTENT},
		{"no modulus", without(public, CKA_MODULUS), CKR_TEMPLATE_INCOMPLETE},
		{"no exponent", without(public, CKA_PUBLIC_EXPONENT), CKR_TEMPLATE_INCOMPLETE},
		{"no key type", without(public, CKA_KEY_TYPE), CKR_TEMPLATE_INCOMPLETE},
		{"an EC key", with(without(public, CKA_KEY_TYPE), attribute{CKA_KEY_TYPE, number(uint64(3))}), CKR_ATTRIBUTE_VALUE_INVALID},
		{"bits of the modulus", with(public, attribute{CKA_MODULUS_BITS, number(uint64(2048))}), CKR_ATTRIBUTE_READ_ONLY},
		{"local", with(public, attribute{CKA_LOCAL, boolean(true)}), CKR_ATTRIBUTE_READ_ONLY},
		{"a unique id", with(public, attribute{CKA_UNIQUE_ID, []byte("1")}), CKR_ATTRIBUTE_READ_ONLY},
		{"a private attribute", with(public, attribute{CKA_SIGN, boolean(true)}), CKR_ATTRIBUTE_TYPE_INVALID},
		{"an unknown attribute", with(public, attribute{0x80001234, nil}), CKR_ATTRIBUTE_TYPE_INVALID},
		{"trusted", with(public, attribute{CKA_TRUSTED, boolean(true)}), CKR_TEMPLATE_INCONSISTENT},
		{"a date of 7 bytes", with(public, attribute{CKA_START_DATE, []byte("2026010")}), CKR_ATTRIBUTE_VALUE_INVALID},
		{"another public key info", with(public, attribute{CKA_PUBLIC_KEY_INFO, []byte{1}}), CKR_TEMPLATE_INCONSISTENT},
		{"an even modulus", with(without(public, CKA_MODULUS), attribute{CKA_MODULUS, bytes.Repeat([]byte{2}, 256)}), CKR_ATTRIBUTE_VALUE_INVALID},
		{"a small modulus", with(without(public, CKA_MODULUS), attribute{CKA_MODULUS, bytes.Repeat([]byte{1}, 64)}), CKR_KEY_SIZE_RANGE},
		{"an empty modulus", with(without(public, CKA_MODULUS), attribute{CKA_MODULUS, nil}), CKR_ATTRIBUTE_VALUE_INVALID},
		{"no value", without(crt, CKA_VALUE), CKR_TEMPLATE_INCOMPLETE},
		{"no subject", without(crt, CKA_SUBJECT), CKR_TEMPLATE_INCOMPLETE},
		{"an attribute certificate", with(without(crt, CKA_CERTIFICATE_TYPE), attribute{CKA_CERTIFICATE_TYPE, number(uint64(1))}), CKR_ATTRIBUTE_VALUE_INVALID},
		{"no prime", without(private, CKA_PRIME_1), CKR_TEMPLATE_INCOMPLETE},
		{"extractable", with(private, attribute{CKA_EXTRACTABLE, boolean(true)}), CKR_TEMPLATE_INCONSISTENT},
		{"another prime", with(without(private, CKA_PRIME_1), attribute{CKA_PRIME_1, softwareKey(t, 2048).Primes[0].Bytes()}), CKR_ATTRIBUTE_VALUE_INVALID},
		{"too much", template{ofClass(CKO_DATA), {CKA_VALUE, make([]byte, mostValue+1)}}, CKR_DEVICE_MEMORY},
	} {
		t.Run(row.name, func(t *testing.T) {
			h.t = t
			h.want(row.want, fnCreateObject, s, attrs(row.template...))
		})
	}
	h.t = t
	h.want(CKR_SESSION_READ_ONLY, fnCreateObject, readOnly, attrs(ofClass(CKO_DATA), onToken))
	h.want(CKR_OK, fnCreateObject, readOnly, attrs(ofClass(CKO_DATA), ofClass(CKO_DATA), inSession)) // the same twice
	if found := h.find(s, onToken); len(found) != 0 {
		t.Errorf("%d objects on the token", len(found))
	}
}

// Objects of every class that needs no TPM, on the token and in the session: made, found, changed, copied, destroyed.
func TestStoredObjects(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, dir, "")
	k := softwareKey(t, 2048)
	crt := certify(t, &k.PublicKey)
	for _, row := range []struct {
		name     string
		template template
		kind     attributeType // one that follows from the others
		want     []byte
	}{
		{"data", template{ofClass(CKO_DATA), {CKA_VALUE, []byte("v")}, {CKA_APPLICATION, []byte("app")}, {CKA_PRIVATE, boolean(true)}}, CKA_OBJECT_ID, nil},
		{"a certificate", certificateTemplate(crt), CKA_SERIAL_NUMBER, []byte{2, 2, 0, 0x80}},
		{"something else as a certificate", template{ofClass(CKO_CERTIFICATE), {CKA_CERTIFICATE_TYPE, number(CKC_X_509)}, {CKA_SUBJECT, []byte("s")}, {CKA_VALUE, []byte("v")}}, CKA_ISSUER, nil},
		{"a public key", append(publicTemplate(&k.PublicKey), attribute{CKA_ENCRYPT, boolean(false)}), CKA_MODULUS_BITS, number(uint64(2048))},
	} {
		for _, where := range []attribute{onToken, inSession} {
			t.Run(row.name, func(t *testing.T) {
				h.t = t
				s := h.session()
				o := h.create(s, append(row.template, where, named("old"))...)
				for _, a := range append(row.template, where, named("old"), attribute{row.kind, row.want}) {
					h.wantValue(s, o, a.kind, a.value)
				}
				h.want(CKR_OK, fnSetAttributeValue, s, o, attrs(named("new")))
				if found := h.find(s, row.template[0], named("new")); len(found) != 1 || !bytes.Equal(found[0], o) {
					t.Errorf("found %x", found)
				}
				if h.want(CKR_OK, fnGetObjectSize, s, o).number() < uint64(len(h.value(s, o, row.template[len(row.template)-1].kind))) {
					t.Error("smaller than what is in it")
				}
				again := newHost(t, dir, "") // another process
				if found := again.find(again.session(), row.template[0], named("new")); len(found) != int(where.value[0]) {
					t.Errorf("another process finds %d", len(found))
				}
				twin := num(h.want(CKR_OK, fnCopyObject, s, o, attrs(named("twin"), attribute{CKA_MODIFIABLE, boolean(false)})).number())
				for _, a := range append(row.template, where, named("twin"), attribute{row.kind, row.want}) {
					h.wantValue(s, twin, a.kind, a.value)
				}
				h.wantValue(s, o, CKA_LABEL, []byte("new"))
				h.want(CKR_ACTION_PROHIBITED, fnSetAttributeValue, s, twin, attrs(named("x")))
				if bytes.Equal(h.value(s, o, CKA_UNIQUE_ID), h.value(s, twin, CKA_UNIQUE_ID)) {
					t.Error("one unique id for two objects")
				}
				for _, object := range []field{o, twin} {
					h.want(CKR_OK, fnDestroyObject, s, object)
					h.want(CKR_OBJECT_HANDLE_INVALID, fnDestroyObject, s, object)
				}
				if found := h.find(s, row.template[0]); len(found) > 0 {
					t.Errorf("%d objects are left", len(found))
				}
			})
		}
	}
}

// Files that others may have written, and what is no file at all, are left out; the log says why.
func TestStoredObjectsOfOthers(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, dir, "")
	h.create(h.session(), ofClass(CKO_DATA), onToken) // that has nothing to say
	files, err := filepath.Glob(filepath.Join(dir, "objects", "*.object"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, row := range []struct {
		name string
		make func(path string) error
		why  string
	}{
		{"as it was", func(string) error { return nil }, ""},
		{"read by all", func(path string) error { return os.Chmod(path, 0o644) }, ""},
		{"written by all", func(path string) error { return os.Chmod(path, 0o666) }, "its mode is 0666"},
		{"a pipe", func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, "not a regular file"},
		{"too large", func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, make([]byte, 2*mostValue+1), 0o600))
		}, "more than"},
	} {
		if err := row.make(files[0]); err != nil {
			t.Fatal(err)
		}
		h := newHost(t, dir, "")
		found := h.find(h.session(), ofClass(CKO_DATA))
		if log := strings.Join(h.log, "\n"); (len(found) == 1) != (row.why == "") || !strings.Contains(log, row.why) {
			t.Errorf("%s: %d objects, log %q", row.name, len(found), log)
		}
	}
}

// What must not be copied, changed or destroyed is not, and what a session made goes with it.
func TestProhibited(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s, other := h.session(), h.session()
	bare := template{ofClass(CKO_DATA), named("x")}
	fixed := h.create(s, append(bare, attribute{CKA_COPYABLE, boolean(false)}, attribute{CKA_DESTROYABLE, boolean(false)})...)
	h.want(CKR_ACTION_PROHIBITED, fnCopyObject, s, fixed, attrs())
	h.want(CKR_ACTION_PROHIBITED, fnDestroyObject, s, fixed)
	h.want(CKR_ATTRIBUTE_READ_ONLY, fnSetAttributeValue, s, fixed, attrs(attribute{CKA_CLASS, number(CKO_DATA)}))
	h.want(CKR_ATTRIBUTE_READ_ONLY, fnSetAttributeValue, s, fixed, attrs(onToken))
	h.want(CKR_ATTRIBUTE_READ_ONLY, fnSetAttributeValue, s, fixed, attrs(attribute{CKA_PRIVATE, boolean(true)}))
	h.want(CKR_ATTRIBUTE_TYPE_INVALID, fnSetAttributeValue, s, fixed, attrs(attribute{CKA_SUBJECT, nil}))
	h.want(CKR_ARGUMENTS_BAD, fnSetAttributeValue, s, fixed, attrs())
	h.want(CKR_OBJECT_HANDLE_INVALID, fnCopyObject, s, num(99), attrs())
	hidden := h.create(s, append(bare, attribute{CKA_PRIVATE, boolean(true)})...)
	h.want(CKR_TEMPLATE_INCONSISTENT, fnCopyObject, s, hidden, attrs(attribute{CKA_PRIVATE, boolean(false)}))
	if found := h.find(other); len(found) != 2 { // a session's objects are seen in all sessions
		t.Errorf("%d objects", len(found))
	}
	h.want(CKR_OK, fnCloseSession, s)
	if found := h.find(other); len(found) != 0 {
		t.Errorf("%d objects outlive their session", len(found))
	}
}

// A key pair of the session works, leaves no file, goes with the session, and stays when it is copied to the token.
func TestSessionKeys(t *testing.T) {
	dir := t.TempDir()
	h := newHost(t, dir, tpmtest.SWTPM(t))
	s, other := h.session(), h.session()
	bits := attribute{CKA_MODULUS_BITS, number(uint64(2048))}
	id := attribute{CKA_ID, []byte{1, 2}}
	answer := h.want(CKR_OK, fnGenerateKeyPair, s, mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(bits, named("brief")), attrs(id, attribute{CKA_DECRYPT, boolean(false)}))
	public, private := num(answer.number()), num(answer.number())
	noFiles(t, dir)
	for _, o := range []field{public, private} {
		h.wantValue(s, o, CKA_TOKEN, boolean(false))
		h.wantValue(s, o, CKA_LABEL, []byte("brief"))
		h.wantValue(s, o, CKA_ID, id.value)
		h.wantValue(s, o, CKA_LOCAL, boolean(true))
	}
	h.want(CKR_OK, fnSetAttributeValue, s, private, attrs(attribute{CKA_SUBJECT, []byte("subject")}))
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(h.value(s, public, CKA_MODULUS)), E: 65537}
	signs := func(h *host, s, private field) {
		h.t.Helper()
		h.want(CKR_OK, fnSignInit, s, mech(CKM_SHA256_RSA_PKCS, nil), private)
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sumOf(crypto.SHA256), h.output(fnSign, s, str(data))); err != nil {
			t.Error(err)
		}
	}
	signs(h, s, private)
	signs(h, other, private)
	h.want(CKR_KEY_FUNCTION_NOT_PERMITTED, fnDecryptInit, s, mech(CKM_RSA_PKCS, nil), private)
	kept := num(h.want(CKR_OK, fnCopyObject, s, private, attrs(onToken)).number())
	h.want(CKR_OK, fnCloseSession, s)
	h.want(CKR_OBJECT_HANDLE_INVALID, fnGetAttributeValue, other, private, num(0))
	h.want(CKR_KEY_HANDLE_INVALID, fnSignInit, other, mech(CKM_RSA_PKCS, nil), private)
	signs(h, other, kept)
	h.wantValue(other, kept, CKA_SUBJECT, []byte("subject"))
	if _, err := os.Stat(filepath.Join(dir, "brief.pem")); err != nil {
		t.Error(err)
	}
	second := num(h.want(CKR_OK, fnCopyObject, other, kept, attrs(named("second"))).number())
	signs(h, other, second)
	h.want(CKR_OK, fnDestroyObject, other, kept)
	signs(h, other, second)
}

// What a template says of a key is so afterwards, in this process and in others, and can be changed.
func TestKeyAttributes(t *testing.T) {
	dir, spec := t.TempDir(), tpmtest.SWTPM(t)
	h := newHost(t, dir, spec)
	s := h.session()
	bits := attribute{CKA_MODULUS_BITS, number(uint64(2048))}
	publicPart := template{named("public"), {CKA_VERIFY, boolean(false)}, {CKA_SUBJECT, []byte("s")}}
	privatePart := template{named("private"), {CKA_ID, []byte{7}}, {CKA_SIGN_RECOVER, boolean(false)}, {CKA_START_DATE, []byte("20260101")},
		{CKA_ALLOWED_MECHANISMS, number(CKM_RSA_PKCS)}, onToken}
	answer := h.want(CKR_OK, fnGenerateKeyPair, s, mech(CKM_RSA_PKCS_KEY_PAIR_GEN, nil), attrs(append(publicPart, bits)...), attrs(privatePart...))
	public, private := num(answer.number()), num(answer.number())
	check := func(h *host, s, public, private field) {
		h.t.Helper()
		for _, a := range publicPart {
			h.wantValue(s, public, a.kind, a.value)
		}
		for _, a := range privatePart {
			h.wantValue(s, private, a.kind, a.value)
		}
		h.wantValue(s, public, CKA_ID, []byte{7})
	}
	check(h, s, public, private)
	h.want(CKR_KEY_FUNCTION_NOT_PERMITTED, fnVerifyInit, s, mech(CKM_RSA_PKCS, nil), public)
	h.want(CKR_KEY_FUNCTION_NOT_PERMITTED, fnSignRecoverInit, s, mech(CKM_RSA_PKCS, nil), private)
	h.want(CKR_MECHANISM_INVALID, fnSignInit, s, mech(CKM_RSA_X_509, nil), private) // CKA_ALLOWED_MECHANISMS
	h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
	publicPart[1].value = boolean(true)
	h.want(CKR_OK, fnSetAttributeValue, s, public, attrs(publicPart[1]))
	privatePart[0], privatePart[1].value = named("renamed"), []byte{8, 9}
	h.want(CKR_OK, fnSetAttributeValue, s, private, attrs(privatePart[:2]...))
	again := newHost(t, dir, "")
	s2 := again.session()
	for _, o := range [][2]field{{public, private}, {again.one(s2, CKO_PUBLIC_KEY), again.one(s2, CKO_PRIVATE_KEY)}} {
		h, s := h, s
		if &o[0][0] != &public[0] {
			h, s = again, s2
		}
		h.wantValue(s, o[0], CKA_VERIFY, boolean(true))
		h.wantValue(s, o[0], CKA_LABEL, []byte("public"))
		h.wantValue(s, o[1], CKA_LABEL, []byte("renamed"))
		h.wantValue(s, o[1], CKA_ID, []byte{8, 9})
	}
	for _, row := range []struct {
		want CKR
		a    attribute
	}{
		{CKR_ATTRIBUTE_READ_ONLY, attribute{CKA_MODULUS, []byte{1}}},
		{CKR_ATTRIBUTE_READ_ONLY, attribute{CKA_SENSITIVE, boolean(false)}},
		{CKR_ATTRIBUTE_VALUE_INVALID, named("a\nb")},
	} {
		h.want(row.want, fnSetAttributeValue, s, private, attrs(row.a))
	}
	h.want(CKR_SESSION_READ_ONLY, fnSetAttributeValue, num(h.want(CKR_OK, fnOpenSession, num(slotID), num(CKF_SERIAL_SESSION)).number()), private, attrs(named("x")))
}

// A certificate of a key goes beside it, where other programs look for it; a second one, and those of others, go elsewhere.
func TestCertificateOfKey(t *testing.T) {
	h, k := newKey(t)
	s := h.session()
	c := certify(t, k.Public())
	o := h.create(s, append(certificateTemplate(c), onToken, attribute{CKA_ID, k.ID()})...)
	h.wantValue(s, o, CKA_LABEL, []byte("demo"))
	h.wantValue(s, o, CKA_VALUE, c.Raw)
	h.wantValue(s, h.one(s, CKO_PRIVATE_KEY), CKA_SUBJECT, c.RawSubject)
	chain, err := k.Chain()
	if err != nil || !chain[0].Equal(c) {
		t.Errorf("beside the key: %v", err)
	}
	h.want(CKR_OK, fnSetAttributeValue, s, o, attrs(named("own")))
	h.wantValue(s, o, CKA_LABEL, []byte("own"))
	h.wantValue(s, h.one(s, CKO_PRIVATE_KEY), CKA_LABEL, []byte("demo"))
	second := certify(t, k.Public())
	h.create(s, append(certificateTemplate(second), onToken, named("second"))...)
	if found := h.find(s, ofClass(CKO_CERTIFICATE)); len(found) != 2 {
		t.Errorf("%d certificates", len(found))
	}
	h.want(CKR_OK, fnDestroyObject, s, o)
	if _, err := os.Stat(k.CertificatePath()); err == nil || len(h.find(s, ofClass(CKO_CERTIFICATE))) != 1 {
		t.Error("the certificate is still there")
	}
	h.one(s, CKO_PRIVATE_KEY)
}

// A public key of others verifies and encrypts in software, where no TPM is.
func TestPublicKeyOfOthers(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s := h.session()
	for _, bits := range []int{1024, 2048, 3072} {
		k := softwareKey(t, bits)
		o := h.create(s, publicTemplate(&k.PublicKey)...)
		signature, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sumOf(crypto.SHA256), &rsa.PSSOptions{SaltLength: 11})
		if err != nil {
			t.Fatal(err)
		}
		h.want(CKR_OK, fnVerifyInit, s, mech(CKM_SHA256_RSA_PKCS_PSS, pssParameters(CKM_SHA256, CKG_MGF1_SHA256, 11)), o)
		h.want(CKR_OK, fnVerify, s, str(data), str(signature))
		h.want(CKR_OK, fnEncryptInit, s, mech(CKM_RSA_PKCS_OAEP, oaepParameters(CKM_SHA_1, CKG_MGF1_SHA1, 0)), o)
		plaintext, err := k.Decrypt(nil, h.output(fnEncrypt, s, str(data)), &rsa.OAEPOptions{Hash: crypto.SHA1})
		if err != nil || !bytes.Equal(plaintext, data) {
			t.Errorf("%d bits: %q, %v", bits, plaintext, err)
		}
	}
}

// under gives a host whose device has a profile.
func under(t *testing.T, dir, profile string) *host {
	t.Helper()
	spec := tpmtest.SWTPM(t)
	return loadHost(t, func() *provider.Provider {
		return provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.OpenWithProfile(spec, profile) })
	})
}

// A private key comes in where the filter lets it, and is refused clearly where not.
func TestImport(t *testing.T) {
	k := softwareKey(t, 2048)
	for _, row := range []struct {
		profile string
		want    CKR
	}{{"rsa", CKR_FUNCTION_NOT_SUPPORTED}, {"rsa+import", CKR_OK}} {
		for _, where := range []attribute{onToken, inSession} {
			dir := t.TempDir()
			h := under(t, dir, row.profile)
			s := h.session()
			rv, answer := h.call(fnCreateObject, s, attrs(append(privateTemplate(k), where, named("imported"))...))
			if rv != row.want {
				t.Errorf("%s: %v, %q", row.profile, rv, h.log)
			}
			if where.value[0] == 0 || rv != CKR_OK {
				noKeyFiles(t, dir)
			}
			if rv != CKR_OK {
				continue
			}
			o := num(answer.number())
			for kind, want := range map[attributeType][]byte{CKA_LABEL: []byte("imported"), CKA_LOCAL: boolean(false), CKA_NEVER_EXTRACTABLE: boolean(false),
				CKA_KEY_GEN_MECHANISM: number(unavailable), CKA_TOKEN: where.value} {
				h.wantValue(s, o, kind, want)
			}
			h.want(CKR_OK, fnSignInit, s, mech(CKM_SHA256_RSA_PKCS, nil), o)
			if err := rsa.VerifyPKCS1v15(&k.PublicKey, crypto.SHA256, sumOf(crypto.SHA256), h.output(fnSign, s, str(data))); err != nil {
				t.Error(err)
			}
		}
	}
}

func noKeyFiles(t *testing.T, dir string) {
	t.Helper()
	if found, err := filepath.Glob(filepath.Join(dir, "*.pem")); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// The PIN of the login is the PIN of keys that have one; a wrong one is said to be, and is not tried again.
func TestPINOfLogin(t *testing.T) {
	dir, spec := t.TempDir(), tpmtest.SWTPM(t)
	h := newHost(t, dir, spec)
	if _, err := h.library.keys.Create("pinned", provider.Template{PIN: []byte("1234")}); err != nil {
		t.Fatal(err)
	}
	s := h.session()
	private := h.one(s, CKO_PRIVATE_KEY)
	sign := func(want CKR) {
		h.t.Helper()
		h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
		h.want(want, fnSign, s, str(data), have(256))
	}
	sign(CKR_USER_NOT_LOGGED_IN)
	for _, row := range []struct {
		pin  string
		want CKR
	}{{"wrong", CKR_PIN_INCORRECT}, {"1234", CKR_OK}, {"", CKR_USER_NOT_LOGGED_IN}} {
		h.want(CKR_OK, fnLogin, s, num(CKU_USER), num(1), str([]byte(row.pin)))
		sign(row.want)
		sign(row.want) // a host that tries another way shows only what comes last
		h.want(CKR_OK, fnLogout, s)
		sign(CKR_USER_NOT_LOGGED_IN)
	}
}

// Whoever does not want to give a PIN is told to have cancelled, and a PIN that is asked for is used.
func TestPINThatIsAskedFor(t *testing.T) {
	h := newHost(t, t.TempDir(), tpmtest.SWTPM(t))
	if _, err := h.library.keys.Create("pinned", provider.Template{PIN: []byte("1234")}); err != nil {
		t.Fatal(err)
	}
	s := h.session()
	private := h.one(s, CKO_PRIVATE_KEY)
	for _, row := range []struct {
		pin  string
		err  error
		want CKR
	}{{"", fmt.Errorf("%w: %w", provider.ErrPIN, CKR_FUNCTION_CANCELED), CKR_FUNCTION_CANCELED}, {"", provider.ErrPIN, CKR_USER_NOT_LOGGED_IN}, {"1234", nil, CKR_OK}} {
		h.library.keys.AskPIN(func(*provider.Key, error) ([]byte, error) { return []byte(row.pin), row.err })
		h.want(CKR_OK, fnSignInit, s, mech(CKM_RSA_PKCS, nil), private)
		h.want(row.want, fnSign, s, str(data), have(256))
	}
}

// Sessions share objects: one changes what others look at, and destroys it.
func TestSharedObject(t *testing.T) {
	h := newHost(t, t.TempDir(), "")
	s := h.session()
	made := h.create(s, ofClass(CKO_DATA), named("old"))
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			other := h.session()
			for range 200 {
				if got := string(h.value(other, made, CKA_LABEL)); got != "old" && got != "new" {
					t.Errorf("label %q", got)
				}
				h.find(other, named("new"))
			}
		})
	}
	for range 100 {
		h.want(CKR_OK, fnSetAttributeValue, s, made, attrs(named("new")))
		h.want(CKR_OK, fnSetAttributeValue, s, made, attrs(named("old")))
	}
	others.Wait()
	h.want(CKR_OK, fnDestroyObject, s, made)
	h.want(CKR_OBJECT_HANDLE_INVALID, fnDestroyObject, s, made)
}
