package provider

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// DefaultBits is the size of a key whose template names none: every TPM 2.0 has it.
const DefaultBits = 2048

// sizes are what a TPM may have.
var sizes = []int{2048, 3072, 4096}

// defaultExponent is what a TPM understands by an exponent of 0 (Part 2, 12.2.3.5).
const defaultExponent = 65537

// Sizes asks the TPM which sizes of RSA keys it has. It tells, and makes, nothing else.
func (p *Provider) Sizes() (has []int, err error) {
	err = p.withTPM(func(c *connection) (err error) {
		has, err = c.sizes()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the sizes of RSA keys: %w", err)
	}
	return has, nil
}

func (c *connection) sizes() (has []int, err error) {
	for _, bits := range sizes {
		err := c.testParms(bits)
		if err == nil {
			has = append(has, bits)
		} else if !lacksSize(err) {
			return nil, err
		}
	}
	return has, nil
}

// testParms asks for one size (TPM2_TestParms, Part 3, 30.3). What a TPM thinks of an exponent it only tells when it makes the key.
func (c *connection) testParms(bits int) error {
	_, err := tpm2.TestParms{Parameters: tpm2.TPMTPublicParms{
		Type:       tpm2.TPMAlgRSA,
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, rsaParms(bits, 0)),
	}}.Execute(c.tpm)
	return err
}

func lacksSize(err error) bool {
	return errors.Is(err, tpm2.TPMRCValue) || errors.Is(err, tpm2.TPMRCKeySize)
}

// mayHave asks before seconds of key generation are spent on the parent, but for the size that every TPM has.
func (c *connection) mayHave(t Template) error {
	if t.bits() == DefaultBits {
		return nil
	}
	return c.refused(t, c.testParms(t.bits()))
}

// refused says what it was in a template that the TPM refused.
func (c *connection) refused(t Template, err error) error {
	switch {
	case lacksSize(err):
		has, sizesErr := c.sizes()
		if sizesErr != nil {
			return errors.Join(err, sizesErr)
		}
		return fmt.Errorf("%w: %d bits; it has %s: %w", ErrSize, t.bits(), alternatives(has), err)
	case errors.Is(err, tpm2.TPMRCRange) && t.exponent() != 0:
		return fmt.Errorf("%w: %d; most take primes above 65536 only: %w", ErrExponent, t.Exponent, err)
	}
	return err
}

// alternatives are numbers with an "or" before the last.
func alternatives(numbers []int) string {
	text := strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ", ")
	if last := strings.LastIndex(text, ", "); last >= 0 {
		text = text[:last] + " or " + text[last+2:]
	}
	return text
}

func (t Template) bits() int {
	if t.Bits == 0 {
		return DefaultBits
	}
	return t.Bits
}

// exponent is how the template says it to the TPM: all take 0.
func (t Template) exponent() uint32 {
	if t.Exponent == defaultExponent {
		return 0
	}
	return uint32(t.Exponent)
}

// checkExponent wants one that an RSA key can have and that Go's crypto/rsa takes.
func (t Template) checkExponent() error {
	if e := t.Exponent; e != 0 && (e < 3 || e > math.MaxInt32 || e%2 == 0) {
		return fmt.Errorf("%w: %d; it is odd, at least 3 and at most %d", ErrExponent, e, math.MaxInt32)
	}
	return nil
}

func rsaParms(bits int, exponent uint32) *tpm2.TPMSRSAParms {
	return &tpm2.TPMSRSAParms{
		Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull},
		Scheme:    tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull},
		KeyBits:   tpm2.TPMKeyBits(bits),
		Exponent:  exponent,
	}
}
