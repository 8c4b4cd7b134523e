//go:build check

package rm_test

import (
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
)

// The parameters of the grammar, by their names in Part 3.

// param writes one. A name that has no row is a TPM2B of some bytes.
func (g *grammar) param(name string) []byte {
	if write := parameters[name]; write != nil {
		return write(g)
	}
	return sized(g.bytes(40))
}

var parameters = map[string]func(g *grammar) []byte{
	"inSensitive":    func(g *grammar) []byte { return sized(append(sized(g.secret()), sized(g.bytes(g.IntN(2)*20))...)) },
	"inPublic":       (*grammar).somePublic,
	"objectPublic":   (*grammar).somePublic,
	"outsideInfo":    func(g *grammar) []byte { return sized(g.bytes(66 * g.IntN(2))) },
	"creationPCR":    (*grammar).pcrs,
	"PCRselect":      (*grammar).pcrs,
	"pcrSelectionIn": (*grammar).pcrs,
	"newAuth":        func(g *grammar) []byte { return sized(g.secret()) },
	"auth":           func(g *grammar) []byte { return sized(g.secret()) },
	"inPrivate": func(g *grammar) []byte {
		if b := pick(g, g.blobs); b.private != nil && !g.often(4) {
			return b.private
		}
		return sized(g.bytes(200))
	},
	"cipherText":     func(g *grammar) []byte { return sized(g.exactly(pick(g, []int{0, 1, 16, 255, 256, 256, 256, 257}))) },
	"inScheme":       func(g *grammar) []byte { return pick(g, schemes) },
	"label":          func(g *grammar) []byte { return pick(g, [][]byte{{0, 0}, {0, 0}, {0, 2, 'x', 0}, {0, 1, 'x'}}) },
	"digest":         func(g *grammar) []byte { return sized(g.exactly(pick(g, []int{0, 20, 32, 32, 32, 48, 64}))) },
	"validation":     (*grammar).ticket,
	"creationTicket": (*grammar).ticket,
	"flushHandle":    func(g *grammar) []byte { return binary.BigEndian.AppendUint32(nil, g.handle()) },
	"nonceCaller":    func(g *grammar) []byte { return sized(g.exactly(pick(g, []int{15, 16, 16, 20, 32, 33, 64}))) },
	"encryptedSalt": func(g *grammar) []byte {
		return pick(g, [][]byte{{0, 0}, {0, 0}, sized(g.bytes(80)), sized(g.bytes(256))})
	},
	"sessionType": func(g *grammar) []byte { return []byte{pick(g, []byte{0, 0, 0, 0, 1, 3, 2})} },
	"symmetric": func(g *grammar) []byte {
		return pick(g, [][]byte{{0, 0x10}, {0, 6, 0, 128, 0, 0x43}, {0, 6, 0, 128, 0, 0x43}, {0, 6, 1, 0, 0, 0x43}, {0, 0x0a, 0, 0x0b}, {0, 6, 0, 128, 0, 0x42}})
	},
	"symmetricAlg":     func(g *grammar) []byte { return pick(g, [][]byte{{0, 0x10}, {0, 6, 0, 128, 0, 0x43}}) },
	"authHash":         (*grammar).alg,
	"hashAlg":          (*grammar).alg,
	"capability":       func(g *grammar) []byte { return number(uint32(g.IntN(11))) },
	"property":         func(g *grammar) []byte { return number(pick(g, properties)) },
	"propertyCount":    func(g *grammar) []byte { return number(pick(g, []uint32{0, 1, 8, 254, 0xFFFFFFFF})) },
	"bytesRequested":   func(g *grammar) []byte { return []byte{pick(g, []byte{0, 0, 0, 1}), byte(g.IntN(80))} },
	"parameters":       func(g *grammar) []byte { return pick(g, publicParms) },
	"hierarchy":        func(g *grammar) []byte { return number(pick(g, wellKnown)) },
	"persistentHandle": func(g *grammar) []byte { return number(pick(g, []uint32{0x81000001, 0x81000099, 0x81800000})) },
	"context": func(g *grammar) []byte {
		if c := pick(g, g.contexts); c != nil {
			return c
		}
		return append(g.exactly(16), sized(g.bytes(200))...)
	},
	"code":          func(g *grammar) []byte { return number(uint32(pick(g, chipCodes))) },
	"includeObject": func(g *grammar) []byte { return []byte{byte(g.IntN(3))} },
	"digests":       func(g *grammar) []byte { return append([]byte{0, 0, 0, 1, 0, 0x0b}, g.exactly(32)...) },
	"pHashList": func(g *grammar) []byte {
		return append(number(2), append(sized(g.exactly(32)), sized(g.exactly(32))...)...)
	},
}

var schemes = [][]byte{
	{0, 0x10}, {0, 0x10}, {0, 0x14, 0, 0x0b}, {0, 0x14, 0, 0x0b}, {0, 0x14, 0, 4}, {0, 0x16, 0, 0x0b}, {0, 0x16, 0, 0x0c}, {0, 0x15}, {0, 0x17, 0, 0x0b},
	{0, 5, 0, 0x0b}, {0, 0x18, 0, 0x0b}, {0, 0x1a, 0, 0x0b, 0, 1},
}

var publicParms = [][]byte{
	{0, 1, 0, 0x10, 0, 0x10, 8, 0, 0, 0, 0, 0}, {0, 1, 0, 0x10, 0, 0x10, 0x0c, 0, 0, 0, 0, 0}, {0, 1, 0, 0x10, 0, 0x14, 0, 0x0b, 4, 0, 0, 1, 0, 1},
	{0, 0x23, 0, 0x10, 0, 0x10, 0, 3, 0, 0x10}, {0, 8, 0, 5, 0, 0x0b}, {0, 0x25, 0, 6, 0, 128, 0, 0x43},
}

// Where lists of capabilities begin.
var properties = []uint32{0, 1, 0x100, 0x11F, 0x200, 0x20E, 0x01000000, 0x02000000, 0x03000000, 0x40000000, 0x80000000, 0x81000000, 0x90000000, 0xFFFFFFFF}

func number(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func (g *grammar) exactly(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	if n > 200 {
		b[0] = 0 // less than a modulus
	}
	return b
}

func (g *grammar) secret() []byte { return pick(g, passwords[:len(passwords)-1]) }

func (g *grammar) alg() []byte {
	return []byte{0, pick(g, []byte{0x0b, 0x0b, 0x0b, 0x0c, 0x0d, 4, 0x10, 0x27, 0x99})}
}

func (g *grammar) somePublic() []byte {
	if b := pick(g, g.blobs); b.public != nil && g.often(2) {
		return b.public
	}
	return g.publicArea()
}

func (g *grammar) pcrs() []byte {
	return pick(g, [][]byte{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 0}, {0, 0, 0, 2, 0, 4, 3, 0xFF, 0xFF, 0xFF, 0, 0x0b, 0}})
}

func (g *grammar) ticket() []byte {
	tag := pick(g, []tpm2.TPMST{tpm2.TPMSTHashCheck, tpm2.TPMSTHashCheck, tpm2.TPMSTHashCheck, tpm2.TPMSTCreation, 0x8099})
	b := append([]byte{byte(tag >> 8), byte(tag)}, number(pick(g, wellKnown[:5]))...)
	return append(b, sized(g.exactly(pick(g, []int{0, 0, 32})))...)
}

// The storage key and the NV index that an observer watches.
const (
	watchedKey = uint32(tpmtest.SRKHandle)
	watchedNV  = uint32(0x01800001)
)
