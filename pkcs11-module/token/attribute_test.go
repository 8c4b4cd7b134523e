package token

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"testing"
)

// A serial number whose length takes more than a byte.
func TestLongSerialNumber(t *testing.T) {
	long := new(big.Int).Lsh(big.NewInt(1), 8*200)
	want := append([]byte{2, 0x81, 201, 1}, make([]byte, 200)...)
	if got := serial(&x509.Certificate{SerialNumber: long}); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}
