package attest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// kinds are all that callers can branch on.
var kinds = []error{ErrFormat, ErrAnchor, ErrSignature, ErrNonce, ErrStatement, ErrNotHardware, ErrUse, ErrWeak}

func wantKind(t *testing.T, err error) {
	t.Helper()
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return
		}
	}
	t.Errorf("an error of no kind: %v", err)
}

// recorded is what TPMs have given: testdata/*.evidence with the anchors beside them.
func recorded(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.evidence")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded evidence: %v", err)
	}
	return files
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The signature is left out, or nothing behind it would ever be reached: whoever has an attestation key must not break the verifier either.
func FuzzEvidence(f *testing.F) {
	for _, file := range recorded(f) {
		f.Add(read(f, file))
	}
	for _, row := range forgeries {
		m := good()
		row.change(m)
		f.Add(m.evidence(f))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseParts(text)
		if err != nil {
			wantKind(t, err)
			return
		}
		again, err := p.Format()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("written differently the second time: %v\n%s", err, again)
		}
		// Twice, because one that was cut short could be whole again with a byte.
		wantKind(t, anchor(t).checkSignature(&Parts{Attest: p.Attest, Signature: append(p.Signature, p.Signature...)}))
		key, err := parseKey(p.Public)
		if err != nil {
			wantKind(t, err)
			return
		}
		if err := key.check(); err != nil {
			wantKind(t, err)
		}
		e := &Evidence{Name: key.name}
		if err := e.readStatement(p, nil); err != nil {
			wantKind(t, err)
		}
	})
}

func FuzzAnchor(f *testing.F) {
	for _, file := range recorded(f) {
		f.Add(read(f, file[:len(file)-len("evidence")]+"anchor"))
	}
	for _, row := range badAnchors {
		area := attestationArea(tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA256)
		row.change(&area)
		f.Add(FormatAnchor(tpm2.Marshal(area)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseAnchor(text)
		if err != nil {
			wantKind(t, err)
			return
		}
		again, err := ParseAnchor(FormatAnchor(tpm2.Marshal(*a.area)))
		if err != nil || !again.Public().Equal(a.Public()) || !IsAnchor(text) {
			t.Errorf("another anchor the second time: %v", err)
		}
	})
}

// What older versions have written stays good.
func TestRecorded(t *testing.T) {
	for _, file := range recorded(t) {
		a, err := ParseAnchor(read(t, file[:len(file)-len("evidence")]+"anchor"))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := Verify(read(t, file), a, []byte("nonce")); err != nil || !e.Restricted {
			t.Errorf("%s: %v", file, err)
		}
	}
}
