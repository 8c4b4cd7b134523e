package provider

import (
	"crypto/rsa"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestSSHBlob(t *testing.T) {
	for _, k := range []rsa.PublicKey{
		{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537},
		{N: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(1)), E: 3}, // the first bit of a byte is clear
		{N: new(big.Int).SetBit(big.NewInt(5), 3071, 1), E: 0x800001},
	} {
		want, err := ssh.NewPublicKey(&k)
		if err != nil {
			t.Fatal(err)
		}
		if got := sshBlob(&k); string(got) != string(want.Marshal()) {
			t.Errorf("%x\n%x", got, want.Marshal())
		}
	}
}
