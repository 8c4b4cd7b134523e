package doctor

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// storeStatuses are what the tests of this file see of checks that need keys or a module.
var storeStatuses = map[string][]Status{
	"key-files": {OK, Fail}, "certificates": {OK, Warn, Fail}, "module-file": {OK, Warn, Fail}, "pin-prompt": {Warn},
}

// softwareKey is a key file of a key that is in no TPM.
func softwareKey(t *testing.T) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, tpmtest.KeyFile(t, tpmtest.RSATemplate(), &key.PublicKey, tpmtest.OwnerParent)
}

// validFor is a certificate of a key that ends some days after today, and was good for thirty.
func validFor(t *testing.T, key *rsa.PrivateKey, days int) []byte {
	t.Helper()
	end := today.AddDate(0, 0, days)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web"}, NotBefore: end.AddDate(0, 0, -30), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// signedBy is a certificate like validFor's that another key signed.
func signedBy(t *testing.T, issuer, key *rsa.PrivateKey, days int) []byte {
	t.Helper()
	block, _ := pem.Decode(validFor(t, key, days))
	template, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "issuer"}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestCertificates(t *testing.T) {
	key, file := softwareKey(t)
	other, _ := softwareKey(t)
	for _, row := range []struct {
		name      string
		chain     []byte
		want      Status
		fact, fix string
	}{
		{"none", nil, OK, "no key has one", ""},
		{"valid", validFor(t, key, 20), OK, "1, of their keys and valid", ""},
		{"soon to end", validFor(t, key, 5), Warn, `"web" expires on 2026-05-11`, "tpmkey cert -self-signed web"},
		{"expired", validFor(t, key, -1), Fail, "expired on 2026-05-05", "tpmkey cert -self-signed web"},
		{"an issuer's", signedBy(t, other, key, 5), Warn, `"web" expires on 2026-05-11`, "have its issuer sign another: tpmkey csr web; then attach what comes back: tpmkey cert web FILE"},
		{"not valid yet", validFor(t, key, 40), Fail, "valid from 2026-05-16", "clock"},
		{"another key's", validFor(t, other, 20), Fail, "of another key", "tpmkey cert web FILE"},
		{"damaged", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Fail, "malformed", "tpmkey cert web FILE"},
	} {
		files := map[string]string{keyDir + "/web.pem": string(file)}
		if row.chain != nil {
			files[keyDir+"/web.crt"] = string(row.chain)
		}
		m := world{files: files}.machine(t)
		t.Run(row.name, func(t *testing.T) { expect(t, certificates(m), row.want, row.fact, row.fix) })
	}
}

func TestKeyFiles(t *testing.T) {
	_, file := softwareKey(t)
	path := keyDir + "/web.pem"
	expect(t, keyFiles(world{}.machine(t)), OK, "no keys yet", "")
	m := world{files: map[string]string{path: string(file)}}.machine(t)
	expect(t, keyFiles(m), OK, "1 can be read", "")
	if err := os.Chmod(m.path(path), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, keyFiles(m), Fail, "others may read", "chmod 600 "+m.path(path))
	damaged := world{files: map[string]string{path: "nothing"}}.machine(t)
	expect(t, keyFiles(damaged), Fail, "no BEGIN", "backup")
	weak := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}
	weak.N = firstPower(weak.N)
	roca := world{files: map[string]string{path: string(tpmtest.KeyFile(t, tpmtest.RSATemplate(), weak, tpmtest.OwnerParent))}}.machine(t)
	expect(t, keyFiles(roca), Fail, "CVE-2017-15361): web", "tpmkey new")
}

// What a service keeps from others is not this person's business; what is in his own directory is.
func TestOwn(t *testing.T) {
	m := &Machine{Root: "/", Dirs: []string{"/keys", "/etc/tpmkey/keys"}}
	denied := func(path string) error { return &fs.PathError{Op: "open", Path: path, Err: unix.EACCES} }
	file := func(path string, err error) error { return &provider.FileError{Path: path, Err: err} }
	for _, row := range []struct {
		err error
		own bool
	}{
		{denied("/etc/tpmkey/keys"), false},
		{denied("/keys"), true},
		{file("/etc/tpmkey/keys/web.pem", unix.EACCES), false},
		{file("/keys/web.pem", unix.EACCES), true},
		{file("/etc/tpmkey/keys/web.pem", provider.ErrInsecure), true},
	} {
		if got := m.own(errors.Join(row.err)); (got != nil) != row.own {
			t.Errorf("%v: %v", row.err, got)
		}
	}
	if m.own(nil) != nil {
		t.Error("nothing is something")
	}
}

// firstPower is a number above another that is 1, the generator's zeroth power, modulo all the primes of the fingerprint.
func firstPower(above *big.Int) *big.Int {
	product := big.NewInt(2)
	for p := int64(3); p <= 167; p += 2 {
		if big.NewInt(p).ProbablyPrime(0) {
			product.Mul(product, big.NewInt(p))
		}
	}
	n := new(big.Int).Div(above, product)
	n.Add(n, big.NewInt(1)).Mul(n, product)
	return n.Add(n, big.NewInt(1))
}

// A key with a PIN, and nobody who could be asked for it.
func TestNobodyAsks(t *testing.T) {
	_, file := softwareKey(t)
	block, _ := pem.Decode(file)
	emptyAuth := []byte{0xa0, 0x03, 0x01, 0x01, 0xff} // [0] EXPLICIT BOOLEAN TRUE
	if !bytes.Contains(block.Bytes, emptyAuth) {
		t.Fatal("the key file does not say that there is no PIN")
	}
	block.Bytes = bytes.Replace(block.Bytes, emptyAuth, []byte{0xa0, 0x03, 0x01, 0x01, 0x00}, 1)
	m := world{files: map[string]string{keyDir + "/web.pem": string(pem.EncodeToMemory(block))}, with: nobodyAsks}.machine(t)
	expect(t, asking(m), Warn, "nobody can be asked", "SSH_ASKPASS=")
}

// Libraries that are modules for this processor, and those that are not.
func TestModuleFile(t *testing.T) {
	tpmtest.Need(t, "gcc")
	module := library(t, "int C_GetFunctionList(void) { return 0; }")
	foreign := bytes.Clone(module)
	foreign[18], foreign[19] = 0x08, 0 // e_machine: MIPS
	for _, row := range []struct {
		name      string
		file      []byte
		want      Status
		fact, fix string
	}{
		{"a module", module, OK, moduleHere, ""},
		{"for another processor", foreign, Fail, "EM_MIPS", "make install"},
		{"another library", library(t, "int f(void) { return 0; }"), Fail, "no C_GetFunctionList", "make install"},
		{"a text", []byte("text"), Fail, "no library", "make install"},
	} {
		m := world{files: map[string]string{moduleHere: string(row.file)}}.machine(t)
		t.Run(row.name, func(t *testing.T) { expect(t, moduleFile(m), row.want, row.fact, row.fix) })
	}
	expect(t, moduleFile(world{}.machine(t)), Fail, "no such file", "make install")
	expect(t, moduleFile(world{with: noModule}.machine(t)), Warn, "not installed", "make install")
}

func library(t *testing.T, source string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "library.so")
	c := exec.Command("gcc", "-shared", "-fPIC", "-x", "c", "-o", file, "-")
	c.Stdin = strings.NewReader(source)
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, output)
	}
	library, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return library
}
