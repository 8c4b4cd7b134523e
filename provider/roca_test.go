package provider_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// primorial is the product of the first n primes: 126 of them in vulnerable keys of 2048 bits.
func primorial(n int) *big.Int {
	product := big.NewInt(1)
	for candidate := int64(2); n > 0; candidate++ {
		if p := big.NewInt(candidate); p.ProbablyPrime(0) {
			product.Mul(product, p)
			n--
		}
	}
	return product
}

func random(t *testing.T, below *big.Int) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, below)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rocaPrime makes a prime as the vulnerable library does.
func rocaPrime(t *testing.T, m *big.Int) *big.Int {
	t.Helper()
	low := new(big.Int).Lsh(big.NewInt(3), 1022) // the two upper bits set, so that two of them make 2048 bits
	room := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 1022), m)
	first := new(big.Int).Div(low, m)
	for {
		k := new(big.Int).Add(first, random(t, room))
		p := new(big.Int).Exp(big.NewInt(65537), random(t, m), m)
		p.Add(p, k.Mul(k, m))
		if p.BitLen() == 1024 && p.ProbablyPrime(20) {
			return p
		}
	}
}

func rocaModulus(t *testing.T) *big.Int {
	t.Helper()
	m := primorial(126)
	for {
		if n := new(big.Int).Mul(rocaPrime(t, m), rocaPrime(t, m)); n.BitLen() == 2048 {
			return n
		}
	}
}

// keyOf is a key with a modulus, as its file tells it.
func keyOf(t *testing.T, n *big.Int) *provider.Key {
	t.Helper()
	dir := t.TempDir()
	text := tpmtest.KeyFile(t, tpmtest.RSATemplate(), &rsa.PublicKey{N: n, E: 65537}, tpmtest.OwnerParent)
	if err := os.WriteFile(filepath.Join(dir, "web.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := provider.Open([]string{dir}, nil).Key("web")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestROCA(t *testing.T) {
	weak := rocaModulus(t)
	if !keyOf(t, weak).ROCA() {
		t.Error("a vulnerable key is not recognised")
	}
	for range 3 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		if keyOf(t, k.N).ROCA() {
			t.Errorf("a key of Go's is called vulnerable: %x", k.N)
		}
	}
	one := rocaPrime(t, primorial(126)) // with a prime that anybody may choose
	other, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if n := one.Mul(one, other); n.BitLen() == 2048 && keyOf(t, n).ROCA() {
		t.Errorf("a key with one vulnerable prime has not the fingerprint, and is called vulnerable: %x", n)
	}
	top := new(big.Int).Lsh(big.NewInt(1), 2047)
	for range 300 {
		n := random(t, top)
		if n.SetBit(n, 0, 1).SetBit(n, 2047, 1); keyOf(t, n).ROCA() {
			t.Errorf("a number of no structure is called vulnerable: %x", n)
		}
	}
}

// A chip whose keys can be factored gets none made.
func TestCreateRefusesROCA(t *testing.T) {
	weak := rocaModulus(t).Bytes()
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	vulnerable := tpmtest.Func(func(command []byte) ([]byte, error) {
		response, err := chip.Send(command)
		if size := []byte{1, 0}; code(command) == tpm2.TPMCCCreate && err == nil {
			exponent := []byte{0, 0x10, 8, 0, 0, 0, 0, 0} // scheme NULL, 2048 bits, exponent 0: the modulus follows
			at := bytes.Index(response, append(exponent, size...)) + len(exponent) + len(size)
			copy(response[at:], weak)
		}
		return response, err
	})
	dir := t.TempDir()
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return closer{vulnerable}, nil })
	if _, err := p.Create("web", provider.Template{}); !errors.Is(err, provider.ErrROCA) || !strings.Contains(err.Error(), "firmware") {
		t.Errorf("a key that can be factored: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
