package provider

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // the hashes that signatures use
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math/big"
)

// digestInfos are the DER prefixes of a DigestInfo (RFC 8017, 9.2, note 1): the digest follows.
var digestInfos = []struct {
	hash   crypto.Hash
	prefix []byte
}{
	{crypto.SHA1, []byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}},
	{crypto.SHA224, digestInfoSHA2(4, 28)},
	{crypto.SHA256, digestInfoSHA2(1, 32)},
	{crypto.SHA384, digestInfoSHA2(2, 48)},
	{crypto.SHA512, digestInfoSHA2(3, 64)},
}

// digestInfoSHA2 is the prefix for the hash 2.16.840.1.101.3.4.2.last.
func digestInfoSHA2(last, size byte) []byte {
	return []byte{0x30, 17 + size, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00, 0x04, size}
}

// parseDigestInfo recognises a DigestInfo of a known hash.
func parseDigestInfo(b []byte) (crypto.Hash, []byte, bool) {
	for _, d := range digestInfos {
		if digest, ok := bytes.CutPrefix(b, d.prefix); ok && len(digest) == d.hash.Size() {
			return d.hash, digest, true
		}
	}
	return 0, nil, false
}

// padPKCS1v15 is EMSA-PKCS1-v1_5 (RFC 8017, 9.2) into size bytes; with hash 0 the data stands for the DigestInfo.
func padPKCS1v15(hash crypto.Hash, data []byte, size int) ([]byte, error) {
	var prefix []byte
	for _, d := range digestInfos {
		if d.hash == hash {
			prefix = d.prefix
		}
	}
	if prefix == nil && hash != 0 {
		return nil, fmt.Errorf("%w: RSASSA-PKCS1-v1_5 with %v", ErrUsage, hash)
	}
	fill := size - 3 - len(prefix) - len(data)
	if fill < 8 {
		return nil, fmt.Errorf("%d bytes are too long for a key of %d", len(data), size)
	}
	return bytes.Join([][]byte{{0, 1}, bytes.Repeat([]byte{0xff}, fill), {0}, prefix, data}, nil), nil
}

// encodePSS is EMSA-PSS (RFC 8017, 9.1.1) for a modulus of so many bits, into as many bytes as the modulus has.
func encodePSS(hash, mgfHash crypto.Hash, digest []byte, saltLength, modulusBits int) ([]byte, error) {
	bits := modulusBits - 1
	emLen, hLen := (bits+7)/8, hash.Size()
	if saltLength < 0 || emLen < hLen+saltLength+2 {
		return nil, fmt.Errorf("a salt of %d bytes does not fit; at most %d do", saltLength, emLen-hLen-2)
	}
	salt := make([]byte, saltLength)
	rand.Read(salt)
	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(digest)
	h.Write(salt)
	sum := h.Sum(nil)
	em := make([]byte, emLen)
	db := em[:emLen-hLen-1]
	db[len(db)-saltLength-1] = 1
	copy(db[len(db)-saltLength:], salt)
	xorMGF1(db, mgfHash, sum)
	db[0] &= 0xff >> (8*emLen - bits)
	copy(em[len(db):], sum)
	em[emLen-1] = 0xbc
	return append(make([]byte, (modulusBits+7)/8-emLen), em...), nil
}

// xorMGF1 masks out with MGF1 of a seed (RFC 8017, B.2.1).
func xorMGF1(out []byte, hash crypto.Hash, seed []byte) {
	for counter := uint32(0); len(out) > 0; counter++ {
		h := hash.New()
		h.Write(seed)
		h.Write(binary.BigEndian.AppendUint32(nil, counter))
		n := subtle.XORBytes(out, out, h.Sum(nil))
		out = out[n:]
	}
}

// unpadOAEP is EME-OAEP decoding (RFC 8017, 7.1.2, step 3). Every failure takes the same time and says the same.
func unpadOAEP(hash, mgfHash crypto.Hash, label, em []byte) ([]byte, error) {
	hLen := hash.Size()
	if len(em) < 2*hLen+2 {
		return nil, rsa.ErrDecryption
	}
	seed, db := bytes.Clone(em[1:1+hLen]), bytes.Clone(em[1+hLen:])
	xorMGF1(seed, mgfHash, db)
	xorMGF1(db, mgfHash, seed)
	h := hash.New()
	h.Write(label)
	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeCompare(h.Sum(nil), db[:hLen])
	rest := db[hLen:]
	looking, index, invalid := 1, 0, 0
	for i, b := range rest {
		zero, one := subtle.ConstantTimeByteEq(b, 0), subtle.ConstantTimeByteEq(b, 1)
		index = subtle.ConstantTimeSelect(looking&one, i, index)
		looking = subtle.ConstantTimeSelect(one, 0, looking)
		invalid = subtle.ConstantTimeSelect(looking&^zero, 1, invalid)
	}
	if good&^invalid&^looking != 1 {
		return nil, rsa.ErrDecryption
	}
	return rest[index+1:], nil
}

// unpadPKCS1v15 is EME-PKCS1-v1_5 decoding (RFC 8017, 7.2.2, step 3), in the same time whatever is wrong.
func unpadPKCS1v15(em []byte) ([]byte, error) {
	looking, index := 1, 0
	for i, b := range em[2:] {
		zero := subtle.ConstantTimeByteEq(b, 0)
		index = subtle.ConstantTimeSelect(looking&zero, i+2, index)
		looking = subtle.ConstantTimeSelect(zero, 0, looking)
	}
	const shortest = 2 + 8 // the two bytes and the padding before the separator
	good := subtle.ConstantTimeByteEq(em[0], 0) & subtle.ConstantTimeByteEq(em[1], 2) & subtle.ConstantTimeLessOrEq(shortest, index)
	if good&^looking != 1 {
		return nil, rsa.ErrDecryption
	}
	return em[index+1:], nil
}

// publicOperation is RSAVP1 (RFC 8017, 5.2.2), into as many bytes as the modulus has.
func publicOperation(k *rsa.PublicKey, signature []byte) []byte {
	m := new(big.Int).Exp(new(big.Int).SetBytes(signature), big.NewInt(int64(k.E)), k.N)
	return m.FillBytes(make([]byte, k.Size()))
}
