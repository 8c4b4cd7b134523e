package main

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

func parameters(t testing.TB, oid asn1.ObjectIdentifier, value any) pkix.AlgorithmIdentifier {
	t.Helper()
	a := pkix.AlgorithmIdentifier{Algorithm: oid}
	if value == nil {
		return a
	}
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	a.Parameters.FullBytes = der
	return a
}

var (
	oidAES128  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidNothing = asn1.ObjectIdentifier{1, 2, 3}
	sha256HMAC = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}
	iv, salt   = make([]byte, 16), []byte("salt")
)

// What cannot be decrypted, or would cost too much, is refused; none of it crashes.
func TestPBES2Refuses(t *testing.T) {
	aes := parameters(t, oidAES128, iv)
	good := parameters(t, oidPBKDF2, pbkdf2Params{Salt: salt, Iterations: 1, PRF: sha256HMAC})
	block := make([]byte, 16)
	for name, row := range map[string]struct {
		kdf, cipher pkix.AlgorithmIdentifier
		data        []byte
		want        string
	}{
		"a wrong password":        {good, aes, block, errPassword.Error()},
		"no data":                 {good, aes, nil, errDamaged.Error()},
		"half a block":            {good, aes, block[:8], errDamaged.Error()},
		"an unknown cipher":       {good, parameters(t, oidNothing, iv), block, "unknown cipher (1.2.3)"},
		"a short IV":              {good, parameters(t, oidAES128, iv[:8]), block, errDamaged.Error()},
		"no IV":                   {good, parameters(t, oidAES128, nil), block, errDamaged.Error()},
		"an unknown function":     {parameters(t, oidNothing, salt), aes, block, "unknown function (1.2.3)"},
		"an unknown hash":         {parameters(t, oidPBKDF2, pbkdf2Params{salt, 1, 0, pkix.AlgorithmIdentifier{Algorithm: oidNothing}}), aes, block, "unknown hash (1.2.3)"},
		"a key of another length": {parameters(t, oidPBKDF2, pbkdf2Params{salt, 1, 32, sha256HMAC}), aes, block, errDamaged.Error()},
		"no iterations":           {parameters(t, oidPBKDF2, pbkdf2Params{salt, 0, 0, sha256HMAC}), aes, block, "0 iterations"},
		"too many iterations":     {parameters(t, oidPBKDF2, pbkdf2Params{salt, maxIterations + 1, 0, sha256HMAC}), aes, block, "10000001 iterations"},
		"too much memory":         {parameters(t, oidScrypt, scryptParams{salt, 1 << 30, 8, 1, 0}), aes, block, "too much memory"},
		"a huge factor":           {parameters(t, oidScrypt, scryptParams{salt, 2, 1 << 40, 1, 0}), aes, block, "too much memory"},
		"too much time":           {parameters(t, oidScrypt, scryptParams{salt, 2, 1, 1 << 20, 0}), aes, block, "too much memory"},
		"no power of two":         {parameters(t, oidScrypt, scryptParams{salt, 3, 1, 1, 0}), aes, block, "power of 2"},
	} {
		der, err := asn1.Marshal(encryptedKeyInfo{parameters(t, oidPBES2, pbes2Params{row.kdf, row.cipher}), row.data})
		if err != nil {
			t.Fatal(err)
		}
		info, err := parseEncrypted(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := info.decrypt([]byte("password")); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
	if _, err := parseEncrypted([]byte{0x30, 0}); !errors.Is(err, errDamaged) {
		t.Errorf("nothing: %v", err)
	}
}

// Whatever is in the file, there is a key or an error.
func FuzzParsePrivateKey(f *testing.F) {
	tpmtest.Need(f, "openssl", "ssh-keygen")
	dir := f.TempDir()
	for name, args := range map[string][]string{
		"pkcs8":     {"openssl", "genpkey", "-algorithm", "RSA", "-out", "pkcs8"},
		"pkcs1":     {"openssl", "genrsa", "-traditional", "-out", "pkcs1"},
		"der":       {"openssl", "genpkey", "-algorithm", "RSA", "-outform", "DER", "-out", "der"},
		"encrypted": {"openssl", "genpkey", "-algorithm", "RSA", "-aes128", "-pass", "pass:x", "-out", "encrypted"},
		"openssh":   {"ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "openssh"},
		"locked":    {"ssh-keygen", "-q", "-t", "rsa", "-a", "1", "-N", "x", "-f", "locked"},
	} {
		c := exec.Command(args[0], args[1:]...)
		c.Dir = dir
		if output, err := c.CombinedOutput(); err != nil {
			f.Fatalf("%v: %s", err, output)
		}
		text, err := readInput(filepath.Join(dir, name), maxInput)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		locked, err := parsePrivateKey(text)
		if err != nil || locked.needsPassword { // trying one takes as long as the file says
			return
		}
		if key, err := locked.open(nil); key == nil || err != nil {
			t.Errorf("unlocked, and yet: %v, %v", key, err)
		}
	})
}
