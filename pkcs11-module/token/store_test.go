package token

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// fill puts key files into a directory, named k0, k1 and so on. Nobody can use them, and nobody needs to: finding them takes their public parts only.
func fill(t testing.TB, dir string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		modulus := make([]byte, 256)
		rand.Read(modulus)
		modulus[0] |= 0x80
		modulus[255] |= 1
		text := tpmtest.KeyFile(t, tpmtest.RSATemplate(), &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}, tpmtest.OwnerParent)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("k%d.pem", i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// age makes a directory look as if nothing had happened in it for long.
func age(t testing.TB, dir string) {
	t.Helper()
	before := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(dir, before, before); err != nil {
		t.Fatal(err)
	}
}

// After the first scan, to find a key by label or id takes a look at the directory and at what was found, however many keys there are. What other processes do
// is seen all the same.
func TestFindAmongMany(t *testing.T) {
	const many = 300
	dir := t.TempDir()
	fill(t, dir, 0, many)
	age(t, dir)
	h := newHost(t, dir, "")
	s := h.session()
	work := func(do func()) (w provider.Work) {
		before := h.library.keys.Work()
		do()
		after := h.library.keys.Work()
		return provider.Work{Reads: after.Reads - before.Reads, Looks: after.Looks - before.Looks}
	}
	finds := func(want int, list ...attribute) func() {
		return func() {
			t.Helper()
			if found := h.find(s, list...); len(found) != want {
				t.Errorf("found %d objects, want %d", len(found), want)
			}
		}
	}
	if w := work(finds(2, named("k7"))); w.Reads != many {
		t.Errorf("the first scan: %+v", w)
	}
	id := h.value(s, h.find(s, named("k7"))[0], CKA_ID)
	cheap := provider.Work{Looks: 3} // at the directory and, for each object, at the file
	for name, find := range map[string]func(){
		"label": finds(2, named("k7")), "id": finds(2, attribute{CKA_ID, id}),
		"id and class": finds(1, attribute{CKA_ID, id}, ofClass(CKO_PRIVATE_KEY), attribute{CKA_SIGN, boolean(true)}),
	} {
		if w := work(find); w != cheap && name != "id and class" || w.Reads > 0 || w.Looks > cheap.Looks {
			t.Errorf("by %s: %+v", name, w)
		}
	}
	if w := work(finds(0, named("nobody"))); w.Reads > 0 || w.Looks != 1 {
		t.Errorf("what is not there: %+v", w)
	}
	if w := work(finds(100, ofClass(CKO_PUBLIC_KEY))); w.Reads != 0 { // all that are asked for at once
		t.Errorf("all: %+v", w)
	}

	fill(t, dir, many, many+1) // another process
	if w := work(finds(2, named(fmt.Sprint("k", many)))); w.Reads != 1 {
		t.Errorf("a new file: %+v", w)
	}
	age(t, dir)
	finds(2, named("k8"))() // sees that the directory has another time
	text, err := os.ReadFile(filepath.Join(dir, "k8.pem"))
	if err != nil {
		t.Fatal(err)
	}
	relabelled := append([]byte("tpmkey-label: \"k8 new\"\n"), text...)
	if err := os.WriteFile(filepath.Join(dir, "k8.pem"), relabelled, 0o600); err != nil { // written where it is
		t.Fatal(err)
	}
	finds(0, named("k8"))()
	finds(2, named("k8 new"))()
	if err := os.Remove(filepath.Join(dir, "k9.pem")); err != nil {
		t.Fatal(err)
	}
	finds(0, named("k9"))()
}

// A file that comes in the same tick of the clock as the scan is not missed, neither a key nor another object.
func TestFindAtOnce(t *testing.T) {
	dir := t.TempDir()
	h, other := newHost(t, dir, ""), newHost(t, dir, "")
	s, others, now := h.session(), other.session(), time.Now()
	still := func(dir string) { // the clock stands still
		if err := os.Chtimes(dir, now, now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		fill(t, dir, i, i+1)
		still(dir)
		if found := h.find(s, named(fmt.Sprint("k", i))); len(found) != 2 {
			t.Fatalf("key %d is not found", i)
		}
	}
	for i := range 5 {
		other.create(others, ofClass(CKO_DATA), onToken, named("d"))
		still(filepath.Join(dir, storedDir))
		age(t, dir)
		if found := h.find(s, named("d")); len(found) != i+1 {
			t.Fatalf("%d objects, want %d", len(found), i+1)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 0, 10_000)
	age(b, dir)
	b.Run("first scan of 10,000", func(b *testing.B) {
		for b.Loop() {
			h := newHost(b, dir, "")
			h.find(h.session(), named("k77"))
		}
	})
	h := newHost(b, dir, "")
	s := h.session()
	h.find(s, named("k77"))
	b.Run("by label", func(b *testing.B) {
		for b.Loop() {
			h.find(s, named("k77"))
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			h.find(s, ofClass(CKO_PUBLIC_KEY))
		}
	})
}
