package provider

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// A file of another tool, cut at every byte and with every byte changed: all of it or one error, never half a key.
func TestDamagedKeyFile(t *testing.T) {
	text, err := os.ReadFile("testdata/tpm2-openssl.pem") // openssl genpkey -provider tpm2, tpm2-openssl 1.1.1
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.LastIndex(text, []byte("-----"))
	for n := range end {
		if _, err := parseKeyFile(text[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	f, err := parseKeyFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsePublic(f.public); err != nil {
		t.Fatal(err)
	}
	for n := range f.public[:40] {
		if _, err := parsePublic(f.public[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("%d bytes of the public part: %v", n, err)
		}
	}
}

// Lines that are ours are read strictly, others are passed over.
func TestKeyFileLines(t *testing.T) {
	text, err := os.ReadFile("testdata/tpm2-openssl.pem")
	if err != nil {
		t.Fatal(err)
	}
	good := "some words\ntpmkey-label: \"a \\\"b\\\"\\nc\"\ntpmkey-id: 00ff\r\ntpmkey-parent: 000b01\n"
	f, err := parseKeyFile(append([]byte(good), text...))
	if err != nil || f.label != "a \"b\"\nc" || !bytes.Equal(f.id, []byte{0, 0xff}) || !bytes.Equal(f.parentName, []byte{0, 0xb, 1}) {
		t.Errorf("%+v, %v", f, err)
	}
	creation := "tpmkey-creation: AAH/gCFAAAABAAA=\n"
	if f, err = parseKeyFile(append([]byte(creation), text...)); err != nil || !bytes.Equal(f.creation.data, []byte{0xff}) || creationLine+f.creation.String()+"\n" != creation {
		t.Errorf("%+v, %v", f, err)
	}
	for _, line := range []string{"tpmkey-label: web", "tpmkey-id: xyz", "tpmkey-parent: 0",
		"tpmkey-creation: ", "tpmkey-creation: AAA", "tpmkey-creation: AAA=", "tpmkey-creation: AAGA", "tpmkey-creation: AAH/gCFAAAABAAE=", "tpmkey-creation: AAH/gCFAAAABAAD/"} {
		if _, err := parseKeyFile(append([]byte(line+"\n"), text...)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// Key files of others are the only thing that this package parses.
func FuzzParseKeyFile(f *testing.F) {
	foreign, err := os.ReadFile("testdata/tpm2-openssl.pem")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(foreign)
	f.Add(append([]byte("tpmkey-label: \"web\"\ntpmkey-id: 00ff\ntpmkey-parent: 000b\n"), foreign...))
	f.Add(append([]byte("tpmkey-creation: AAH/gCFAAAABAAA=\n"), foreign...))
	f.Add([]byte("tpmkey-label: \"\xff\n-----BEGIN TSS2 PRIVATE KEY-----\n-----END TSS2 PRIVATE KEY-----\n"))
	f.Add(onItsWay(f, foreign))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseAnyKeyFile(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("not ErrFormat: %v", err)
			}
			return
		}
		parsePublic(file.public)
		again, err := file.format()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		reread, err := parseAnyKeyFile(again)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		third, err := reread.format()
		if err != nil || !bytes.Equal(third, again) {
			t.Errorf("written differently the second time: %v", err)
		}
	})
}

// onItsWay makes an importable key of a loadable one.
func onItsWay(t testing.TB, text []byte) []byte {
	t.Helper()
	file, err := parseKeyFile(text)
	if err != nil {
		t.Fatal(err)
	}
	file.seed = []byte("a seed")
	if text, err = file.format(); err != nil {
		t.Fatal(err)
	}
	return text
}

// A key on its way to a TPM is no key in one, and is read whole or not at all.
func TestImportableKeyFile(t *testing.T) {
	foreign, err := os.ReadFile("testdata/tpm2-openssl.pem")
	if err != nil {
		t.Fatal(err)
	}
	text := onItsWay(t, foreign)
	if _, err := parseKeyFile(text); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "tpmkey migrate import") {
		t.Errorf("as a key: %v", err)
	}
	file, err := parseAnyKeyFile(text)
	if err != nil || string(file.seed) != "a seed" {
		t.Fatalf("%v", err)
	}
	file.seed = []byte{} // a type without what belongs to it
	if text, err = file.format(); err != nil {
		t.Fatal(err)
	}
	if _, err := parseAnyKeyFile(text); !errors.Is(err, ErrFormat) {
		t.Errorf("an empty seed: %v", err)
	}
}
