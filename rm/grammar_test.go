//go:build check

package rm_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A grammar writes random commands of the form that Part 3 gives each, for every code there is: handles of every kind, authorization areas of every kind,
// parameters that a TPM can take apart, and now and then one thing that is wrong.
type grammar struct {
	*rand.Rand
	handles  []uint32 // objects that were given to anybody
	sessions []uint32 // likewise
	blobs    []blob   // keys that were made for anybody
	contexts [][]byte // that were saved for anybody
	good     [][]byte // commands that were answered with success
}

// A blob is a wrapped key.
type blob struct {
	private, public []byte // TPM2B_PRIVATE and TPM2B_PUBLIC
	auth            []byte
}

const mostKept = 200 // of each, so that old and new ones are tried

func keep[T any](g *grammar, kept []T, one T) []T {
	if len(kept) < mostKept {
		return append(kept, one)
	}
	kept[g.IntN(mostKept)] = one
	return kept
}

// pick gives one of a list, the zero value of an empty one.
func pick[T any](g *grammar, list []T) (one T) {
	if len(list) > 0 {
		one = list[g.IntN(len(list))]
	}
	return one
}

// often is true once in n times.
func (g *grammar) often(n int) bool { return g.IntN(n) == 0 }

func (g *grammar) bytes(most int) []byte {
	b := make([]byte, g.IntN(most+1))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// command writes one of any code.
func (g *grammar) command() []byte {
	shapes := wire.Shapes()
	s := &shapes[g.IntN(len(shapes))]
	if g.often(3) {
		s = wire.ShapeOf(pick(g, chipCodes))
	}
	return g.commandOf(s)
}

// chipCodes are those that the default profile lets through to the chip.
var chipCodes = []tpm2.TPMCC{
	tpm2.TPMCCCreatePrimary, tpm2.TPMCCCreate, tpm2.TPMCCLoad, tpm2.TPMCCObjectChangeAuth, tpm2.TPMCCSign, tpm2.TPMCCRSADecrypt, tpm2.TPMCCRSAEncrypt,
	tpm2.TPMCCReadPublic, tpm2.TPMCCStartAuthSession, tpm2.TPMCCFlushContext, tpm2.TPMCCGetCapability, tpm2.TPMCCGetRandom, tpm2.TPMCCTestParms,
}

func (g *grammar) commandOf(s *wire.Shape) []byte {
	handles := make([]uint32, s.Handles)
	for i := range handles {
		handles[i] = g.handle()
	}
	var params []byte
	for _, name := range s.ParamNames() {
		params = append(params, g.param(name)...)
	}
	if !s.ParamsKnown() {
		params = g.strange(s)
	}
	return put(s.Code, handles, g.auths(s), params)
}

// strange writes parameters of which only the first bytes are known to be right.
func (g *grammar) strange(s *wire.Shape) []byte {
	if s.MayDecrypt() {
		return append(sized(g.bytes(64)), g.bytes(40)...)
	}
	return g.bytes(12)
}

// Handles that are there on many chips, and in none.
var wellKnown = []uint32{
	uint32(tpm2.TPMRHOwner), uint32(tpm2.TPMRHNull), uint32(tpm2.TPMRHEndorsement), uint32(tpm2.TPMRHPlatform), uint32(tpm2.TPMRHLockout), wire.RSPassword,
	wire.SRK, watchedKey, 0x81010001, watchedNV, 0x01C00002, 0, 16, 23, 0x40000110, 0x90000000, 0x80000000, 0x80000001, 0x80FFFFFF, 0x02000000, 0x03000000,
}

func (g *grammar) handle() uint32 {
	switch {
	case len(g.handles) > 0 && g.often(2):
		return pick(g, g.handles)
	case len(g.sessions) > 0 && g.often(5):
		return pick(g, g.sessions)
	case g.often(20):
		return g.Uint32()
	}
	return pick(g, wellKnown)
}

// auths writes an authorization area, or none: each kind is a seed of the policy's.
func (g *grammar) auths(s *wire.Shape) []wire.Auth {
	if s.Auths == 0 && !g.often(4) {
		return nil
	}
	var auths []wire.Auth
	for range max(s.Auths, 1) {
		auths = append(auths, g.auth())
	}
	for len(auths) < 4 && g.often(6) {
		auths = append(auths, g.auth())
	}
	return auths
}

// Session attributes: none, continue, decrypt, encrypt, audit and its kin, and a reserved one.
var attributes = []uint8{0, 1, 1, 1, 0x20, 0x21, 0x40, 0x41, 0x61, 0x80, 0x81, 0x83, 0x85, 0x09}

func (g *grammar) auth() wire.Auth {
	if g.often(2) {
		return wire.Auth{Session: wire.RSPassword, HMAC: pick(g, passwords), Attributes: pick(g, []uint8{0, 0, 0, 1, 0x20})}
	}
	a := wire.Auth{Session: pick(g, g.sessions), Attributes: pick(g, attributes), Nonce: g.bytes(32)}
	if g.often(2) {
		a.HMAC = g.bytes(64)
	}
	if g.often(8) {
		a.Session = g.handle()
	}
	return a
}

var passwords = [][]byte{nil, nil, nil, []byte("right"), []byte("wrong"), []byte("victim"), bytes.Repeat([]byte{0}, 32), bytes.Repeat([]byte{'x'}, 64), bytes.Repeat([]byte{'x'}, 65)}

// damage changes one thing in a command: a bit, a byte, a length, the end, the header, or its second half for that of another.
func (g *grammar) damage(command []byte) []byte {
	b := bytes.Clone(command)
	at := g.IntN(len(b))
	switch g.IntN(9) {
	case 0:
		b[at] ^= 1 << g.IntN(8)
	case 1:
		b[at] = byte(g.Uint32())
	case 2:
		b[at] += pick(g, []byte{1, 0xFF})
	case 3:
		return fit(b[:at])
	case 4:
		return fit(append(b, g.bytes(16)...))
	case 5:
		return fit(slices.Concat(b[:at], g.bytes(4), b[at:]))
	case 6:
		return fit(slices.Concat(b[:at], b[min(len(b), at+1+g.IntN(4)):]))
	case 7:
		other := pick(g, g.good)
		return fit(slices.Concat(b[:at], other[min(at, len(other)):]))
	default:
		return b[:at] // a size that is not the message's
	}
	return b
}

// fit fills in the true size, where there is room for one.
func fit(b []byte) []byte {
	if len(b) >= 6 {
		binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
	}
	return b
}

// publicArea writes a public area, most often with one thing changed.
func (g *grammar) publicArea() []byte {
	p := pick(g, publicAreas)
	b := tpm2.Marshal(p())
	switch g.IntN(5) {
	case 0:
		b[4+g.IntN(4)] ^= 1 << g.IntN(8) // an attribute
	case 1:
		binary.BigEndian.PutUint16(b[2*g.IntN(2):], uint16(pick(g, algorithms))) // the type, or the hash of the Name
	case 2:
		b[10+g.IntN(len(b)-10)] ^= 1 << g.IntN(8) // a parameter, or the unique field
	}
	return sized(b)
}

var publicAreas = []func() tpm2.TPMTPublic{
	tpmtest.SRKTemplate,
	func() tpm2.TPMTPublic { return tpm2.ECCSRKTemplate },
	func() tpm2.TPMTPublic { return tpm2.RSASRKTemplate },
	func() tpm2.TPMTPublic { return tpm2.ECCEKTemplate },
	func() tpm2.TPMTPublic { return tpm2.RSAEKTemplate },
	func() tpm2.TPMTPublic { return template(true) },
	func() tpm2.TPMTPublic { return template(false) },
}

var algorithms = []tpm2.TPMAlgID{tpm2.TPMAlgRSA, tpm2.TPMAlgECC, tpm2.TPMAlgKeyedHash, tpm2.TPMAlgSymCipher, tpm2.TPMAlgSHA1, tpm2.TPMAlgSHA256, tpm2.TPMAlgSHA384,
	tpm2.TPMAlgSHA512, tpm2.TPMAlgNull, tpm2.TPMAlgAES, tpm2.TPMAlgHMAC, tpm2.TPMAlgXOR, 0x99}
