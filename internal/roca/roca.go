// Package roca knows RSA keys that can be factored by their public part.
//
// ROCA (CVE-2017-15361): the primes of a library that was in many chips are k·M + 65537^a mod M, M the product of the first primes, of 39 at least (Nemec and
// others, The Return of Coppersmith's Attack, 2017). So a modulus of two of them is a power of 65537 modulo each of these primes. One in 2^27 others is so too.
package roca

import "math/big"

const (
	generator    = 65537
	largestPrime = 167 // the 39th
)

// Has tells whether a modulus has the fingerprint of keys that can be factored.
func Has(modulus *big.Int) bool {
	for prime := uint64(3); prime <= largestPrime; prime += 2 {
		p := new(big.Int).SetUint64(prime)
		if p.ProbablyPrime(0) && !isPower(new(big.Int).Mod(modulus, p).Uint64(), prime) {
			return false
		}
	}
	return true
}

// isPower tells whether a number is one of the generator's powers modulo a prime.
func isPower(n, prime uint64) bool {
	for power := uint64(1); ; {
		if power == n {
			return true
		}
		if power = power * generator % prime; power == 1 {
			return false
		}
	}
}
