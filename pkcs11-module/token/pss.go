package token

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"encoding/binary"
)

// verifyPSS is EMSA-PSS-VERIFY (RFC 8017, 9.1.2) for an encoded message of so many bits. crypto/rsa has one hash for both purposes, and takes a salt of no
// bytes for one of any length.
func verifyPSS(encoded, digest []byte, bits int, hash, mgf crypto.Hash, salt int) bool {
	size := (bits + 7) / 8
	if len(encoded) > size && encoded[0] != 0 { // a modulus of 8n + 1 bits
		return false
	}
	em := encoded[len(encoded)-size:]
	dbSize := size - hash.Size() - 1
	if dbSize < salt+1 || em[size-1] != 0xbc {
		return false
	}
	unused := byte(0xff) << (8 - (8*size - bits)) // of the first byte
	if 8*size == bits {
		unused = 0
	}
	if em[0]&unused != 0 {
		return false
	}
	h := em[dbSize : size-1]
	db := maskMGF1(em[:dbSize], mgf, h)
	db[0] &^= unused
	padding := append(make([]byte, dbSize-salt-1), 1)
	if !bytes.Equal(db[:dbSize-salt], padding) {
		return false
	}
	sum := hash.New()
	sum.Write(make([]byte, 8))
	sum.Write(digest)
	sum.Write(db[dbSize-salt:])
	return bytes.Equal(sum.Sum(nil), h)
}

// maskMGF1 is in, masked with MGF1 of a seed (RFC 8017, B.2.1).
func maskMGF1(in []byte, hash crypto.Hash, seed []byte) []byte {
	out := bytes.Clone(in)
	for counter, at := uint32(0), 0; at < len(out); counter++ {
		h := hash.New()
		h.Write(seed)
		h.Write(binary.BigEndian.AppendUint32(nil, counter))
		at += subtle.XORBytes(out[at:], out[at:], h.Sum(nil))
	}
	return out
}
