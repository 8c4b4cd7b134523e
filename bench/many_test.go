//go:build bench

package bench

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tpmkey.example/bench/table"
	"tpmkey.example/rm/tpmtest"
)

// many is how many keys a large store has.
const many = 10_000

// manyKeys times finding one key in a large store, with a warm page cache.
func manyKeys(t *testing.T) []table.Row {
	home := t.TempDir()
	fillStore(t, filepath.Join(home, "tpmkey"))
	t.Setenv("XDG_DATA_HOME", home)
	t.Setenv("TPMKEY_DEVICE", "/nonexistent")
	p := pkcs11.New("../build/tpmkey-pkcs11.so")
	if p == nil {
		t.Fatal("the module does not load; run: make build")
	}
	defer p.Destroy()
	var first, later []time.Duration
	for range rounds {
		session := startLibrary(t, p)
		first = append(first, findOne(t, p, session, "k77"))
		for i := range 11 {
			later = append(later, findOne(t, p, session, fmt.Sprint("k", 100*i)))
		}
		if err := p.Finalize(); err != nil {
			t.Fatal(err)
		}
	}
	return []table.Row{
		{ID: "module/find", Part: table.Module, What: fmt.Sprintf("C_FindObjects among %d keys, the first scan", many), Unit: table.Milliseconds, Bound: table.AtMost(500),
			Cells: table.Cells{table.Tpmkey: inMS(first)}},
		{ID: "module/find-label", Part: table.Module, What: "the same later, by label", Unit: table.Milliseconds, Bound: table.AtMost(20),
			Cells: table.Cells{table.Tpmkey: inMS(later)}},
	}
}

// fillStore makes keys that nobody can use. To be found they need not be.
func fillStore(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		modulus := make([]byte, 256)
		rand.Read(modulus)
		modulus[0] |= 0x80
		text := tpmtest.KeyFile(t, tpmtest.RSATemplate(), &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}, tpmtest.OwnerParent)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("k%d.pem", i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-time.Minute)
	if err := os.Chtimes(dir, before, before); err != nil {
		t.Fatal(err)
	}
}

func startLibrary(t *testing.T, p *pkcs11.Ctx) pkcs11.SessionHandle {
	t.Helper()
	if err := p.Initialize(); err != nil {
		t.Fatal(err)
	}
	session, err := p.OpenSession(0, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// findOne finds the two parts of a key by its label.
func findOne(t *testing.T, p *pkcs11.Ctx, session pkcs11.SessionHandle, label string) time.Duration {
	t.Helper()
	start := time.Now()
	err := p.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, label)})
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := p.FindObjects(session, 10)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d objects, %v", len(found), err)
	}
	if err := p.FindObjectsFinal(session); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}
