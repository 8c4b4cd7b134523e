package main

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
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
		"a huge block":            {parameters(t, oidScrypt, scryptParams{salt, 2, 1 << 22, 64, 0}), aes, block, "too much memory"},
		"too often":               {parameters(t, oidScrypt, scryptParams{salt, 1 << 20, 8, 2, 0}), aes, block, "too much memory"},
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

// made runs a program in a directory, and gives the file "out" that it writes there.
func made(t testing.TB, dir string, args ...string) []byte {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, output)
	}
	text, err := readInput(filepath.Join(dir, "out"), maxInput)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What is no RSA key, or not in a form that is known, is refused with the reason, and where there is one, with the way out.
func TestParsePrivateKeyRefuses(t *testing.T) {
	tpmtest.Need(t, "openssl", "ssh-keygen")
	dir := t.TempDir()
	pkcs1 := made(t, dir, "openssl", "genrsa", "-traditional", "-out", "out", "2048")
	if err := os.WriteFile(filepath.Join(dir, "in"), pkcs1, 0o600); err != nil {
		t.Fatal(err)
	}
	der := made(t, dir, "openssl", "pkey", "-in", "in", "-outform", "DER", "-out", "out")
	broken := bytes.Clone(der)
	broken[len(broken)-300]++ // in a prime
	for name, row := range map[string]struct {
		text []byte
		want string
	}{
		"an elliptic curve key":      {made(t, dir, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "out"), "not an RSA key"},
		"one in SEC 1's form":        {made(t, dir, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "out"), "an elliptic curve key"},
		"an Ed25519 key of OpenSSH":  {made(t, t.TempDir(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "out"), "not an RSA key"},
		"PKCS #1, encrypted":         {made(t, dir, "openssl", "rsa", "-in", "in", "-traditional", "-aes128", "-passout", "pass:x", "-out", "out"), "openssl pkey -aes256"},
		"PKCS #8, PBES1":             {made(t, dir, "openssl", "pkcs8", "-topk8", "-in", "in", "-v1", "PBE-SHA1-3DES", "-passout", "pass:x", "-out", "out"), "openssl pkcs8 -topk8"},
		"PKCS #8, PBES1, DER":        {made(t, dir, "openssl", "pkcs8", "-topk8", "-in", "in", "-v1", "PBE-SHA1-3DES", "-passout", "pass:x", "-outform", "DER", "-out", "out"), "openssl pkcs8 -topk8"},
		"a public key":               {made(t, dir, "openssl", "pkey", "-in", "in", "-pubout", "-out", "out"), `"PUBLIC KEY" in it, but no private key`},
		"a key of a TPM":             {[]byte("-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n"), "a key of a TPM already"},
		"PuTTY's form":               {[]byte("PuTTY-User-Key-File-3: ssh-rsa\n"), "puttygen"},
		"text":                       {[]byte("correct horse\n"), "no private key in a form that is known here"},
		"nothing":                    {nil, "no private key in a form that is known here"},
		"PEM, cut short":             {pkcs1[:900], "no private key in a form that is known here"},
		"DER, cut short":             {der[:700], "no private key in a form that is known here"},
		"DER, broken":                {broken, "damaged"},
		"PEM, broken":                {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: broken}), "it cannot be used"},
		"OpenSSH's, with no content": {pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY"}), "it cannot be used"},
	} {
		locked, err := parsePrivateKey(row.text)
		if err == nil {
			var key any
			if key, err = locked.open(nil); err == nil {
				_, err = rsaOf(key)
			}
		}
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// Whatever is in the file, there is a key or an error.
func FuzzParsePrivateKey(f *testing.F) {
	tpmtest.Need(f, "openssl", "ssh-keygen")
	dir := f.TempDir()
	for _, args := range [][]string{
		{"openssl", "genpkey", "-algorithm", "RSA", "-out", "out"},
		{"openssl", "genrsa", "-traditional", "-out", "out"},
		{"openssl", "genpkey", "-algorithm", "RSA", "-outform", "DER", "-out", "out"},
		{"openssl", "genpkey", "-algorithm", "RSA", "-aes128", "-pass", "pass:x", "-out", "out"},
	} {
		f.Add(made(f, dir, args...))
	}
	for _, password := range []string{"", "x"} {
		f.Add(made(f, f.TempDir(), "ssh-keygen", "-q", "-t", "rsa", "-a", "1", "-N", password, "-f", "out"))
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
