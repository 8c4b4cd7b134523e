package provider

import (
	"fmt"
	"math/big"

	"tpmkey.example/internal/roca"
)

// ROCA tells whether the public key has the fingerprint of keys that can be factored (CVE-2017-15361).
func (k *Key) ROCA() bool { return hasROCA(k.area.public.N) }

func hasROCA(modulus *big.Int) bool { return roca.Has(modulus) }

// checkROCA refuses a new key that can be factored.
func (k *Key) checkROCA() error {
	if !k.ROCA() {
		return nil
	}
	return fmt.Errorf("%w; its firmware needs an update of its maker's, and until then make keys elsewhere", ErrROCA)
}
