package wire

import (
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// A Cursor walks over bytes and never past their end: after the first read that does not fit, Failed is true and every
// further read gives zero values.
type Cursor struct {
	rest   []byte
	failed bool
}

// NewCursor starts at the first byte of b.
func NewCursor(b []byte) Cursor { return Cursor{rest: b} }

// Take gives the next n bytes, which share memory with the input.
func (c *Cursor) Take(n int) []byte {
	if c.failed || n < 0 || n > len(c.rest) {
		c.failed, c.rest = true, nil
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// Uint8 reads one byte.
func (c *Cursor) Uint8() uint8 {
	if b := c.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads a big-endian 16-bit value.
func (c *Cursor) Uint16() uint16 {
	if b := c.Take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads a big-endian 32-bit value.
func (c *Cursor) Uint32() uint32 {
	if b := c.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Alg reads a TPM_ALG_ID.
func (c *Cursor) Alg() tpm2.TPMAlgID { return tpm2.TPMAlgID(c.Uint16()) }

// Sized reads a TPM2B and gives its contents.
func (c *Cursor) Sized() []byte { return c.Take(int(c.Uint16())) }

// Fail makes the cursor fail: the bytes read so far mean nothing that is known here.
func (c *Cursor) Fail() { c.failed, c.rest = true, nil }

// Failed tells whether any read did not fit.
func (c *Cursor) Failed() bool { return c.failed }

// Done tells whether every byte was read and every read did fit.
func (c *Cursor) Done() bool { return !c.failed && len(c.rest) == 0 }

// Rest is what was not read yet.
func (c *Cursor) Rest() []byte { return c.rest }
