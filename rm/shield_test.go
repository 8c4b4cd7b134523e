package rm_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// The filter as a shield: published holes in TPM firmware and in emulators, and commands of the form that triggers them. None reaches the chip under the default
// profile. Under the profile all, those reach it that are well-formed, so the rows are what they say.

// A hole is triggered by one of its commands, or by several in a row, of which not even one gets through.
type hole struct {
	name     string
	commands [][]byte
	wellMade bool
}

// What the client holds whose commands these are: the first that it was given.
const (
	shieldParent  = 0x80000000
	shieldKey     = 0x80000001
	shieldSession = 0x02000000
	shieldPolicy  = 0x03000001
)

var (
	byPassword = []wire.Auth{{Session: wire.RSPassword}}
	decrypting = []wire.Auth{{Session: shieldSession, Attributes: wire.ContinueSession | wire.SessionDecrypt}}
	byPolicy   = []wire.Auth{{Session: shieldPolicy, Attributes: wire.ContinueSession}}
	none       = []byte{0, 0}
	nullAlg    = []byte{0, 0x10}
	noSelected = []byte{0, 0, 0, 0}
	noSecret   = []byte{0, 4, 0, 0, 0, 0}
	ownerOnly  = []uint32{uint32(tpm2.TPMRHOwner)}
	parentOnly = []uint32{shieldParent}
	keyOnly    = []uint32{shieldKey}
)

var holes = []hole{
	{"CVE-2023-1017 and CVE-2023-1018: a session decrypts a parameter whose size is not there", eachDecrypting(nil), false},
	{"… or only half of it", eachDecrypting([]byte{0}), false},
	{"… or says more than there is", eachDecrypting([]byte{0, 0x40, 1, 2, 3}), false},
	{"… or more than any parameter has", eachDecrypting(append([]byte{0x0F, 0x00}, make([]byte, 0xF00)...)), false},

	{"CVE-2025-2884: an HMAC key whose scheme is chosen with the signature", [][]byte{
		put(tpm2.TPMCCCreatePrimary, ownerOnly, byPassword, noSecret, keyedHash(tpm2.TPMAlgNull), none, noSelected),
		put(tpm2.TPMCCCreate, parentOnly, byPassword, noSecret, keyedHash(tpm2.TPMAlgNull), none, noSelected),
		put(tpm2.TPMCCLoad, parentOnly, byPassword, sized(make([]byte, 100)), keyedHash(tpm2.TPMAlgNull)),
		put(tpm2.TPMCCLoadExternal, nil, nil, none, keyedHash(tpm2.TPMAlgNull), []byte{0x40, 0, 0, 7}),
		put(tpm2.TPMCCCreateLoaded, parentOnly, byPassword, noSecret, keyedHash(tpm2.TPMAlgNull)),
	}, true},
	{"… and a signature with a scheme of another kind of key", [][]byte{
		signWith(0, 0x05, 0, 0x0b), signWith(0, 0x18, 0, 0x0b), signWith(0, 0x1a, 0, 0x0b, 0, 1), signWith(0, 0x1b, 0, 0x0b), signWith(0, 0x1c, 0, 0x0b),
	}, true},

	{"libtpms #615: a policy session that is tied to a template", [][]byte{
		put(tpm2.TPMCCStartAuthSession, []uint32{0x40000007, 0x40000007}, nil, sized(make([]byte, 16)), none, []byte{1, 0, 0x10, 0, 0x0b}),
		put(tpm2.TPMCCPolicyTemplate, []uint32{shieldPolicy}, nil, sized(make([]byte, 32))),
	}, true},
	{"… authorizes a template whose size field leads beyond the command", [][]byte{
		put(tpm2.TPMCCCreatePrimary, ownerOnly, byPolicy, []byte{0xFF, 0xF0, 0, 0, 0, 0}),
		put(tpm2.TPMCCCreate, parentOnly, byPolicy, []byte{0x01, 0x00, 0}),
		put(tpm2.TPMCCCreateLoaded, parentOnly, byPolicy, []byte{0xFF, 0xFF}),
	}, false},

	{"libtpms #617: a certificate with five inner SEQUENCEs", [][]byte{
		put(tpm2.TPMCCCertifyX509, []uint32{shieldKey, shieldKey}, append(byPassword, byPassword...), none, nullAlg,
			sized(append([]byte{0x30, 20}, bytes.Repeat([]byte{0x30, 2, 5, 0}, 5)...))),
	}, true},

	{"libtpms #619: a key is brought in with a longer auth value than its parent's names have", [][]byte{
		put(tpm2.TPMCCImport, parentOnly, byPassword, none, keyedHash(tpm2.TPMAlgHMAC),
			sized(sized(append([]byte{0, 8, 0, 64}, make([]byte, 64+4)...))), none, nullAlg),
	}, true},

	{"CVE-2026-21444: a symmetric key, and an IV", [][]byte{
		put(tpm2.TPMCCCreate, parentOnly, byPassword, noSecret, symmetricKey(), none, noSelected),
		put(tpm2.TPMCCLoad, parentOnly, byPassword, sized(make([]byte, 100)), symmetricKey()),
		put(tpm2.TPMCCLoadExternal, nil, nil, none, symmetricKey(), []byte{0x40, 0, 0, 7}),
		put(tpm2.TPMCCEncryptDecrypt, keyOnly, byPassword, []byte{0, 0, 0x43}, sized(make([]byte, 16)), sized(make([]byte, 32))),
		put(tpm2.TPMCCEncryptDecrypt2, keyOnly, byPassword, sized(make([]byte, 32)), []byte{0, 0, 0x43}, sized(make([]byte, 16))),
	}, true},
}

func TestShield(t *testing.T) {
	for _, h := range holes {
		for i, command := range h.commands {
			if n := reach(t, filter.Default(), command); n != 0 {
				t.Errorf("%s, command %d: %d commands reached the chip under rsa", h.name, i, n)
			}
			if n := reach(t, named(t, "all"), command); (n > 0) != h.wellMade {
				t.Errorf("%s, command %d: %d commands reached the chip under all", h.name, i, n)
			}
		}
	}
}

// reach counts the commands that reach a chip because a client who holds a parent, a key and a session sends one more.
func reach(t *testing.T, f *filter.Filter, command []byte) int {
	t.Helper()
	below := tpmtest.Record(tpmtest.Func(willing()))
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{below}, nil }})
	defer m.Close()
	s, err := m.Open(rm.Options{UID: nobody, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range shieldHoldings(f) {
		if response, err := s.Send(made); err != nil || len(response) < 14 {
			t.Fatalf("%x: %x, %v", made, response, err)
		}
	}
	below.Reset()
	response, err := s.Send(command)
	if err != nil || len(response) < wire.HeaderSize {
		t.Errorf("%x: %x, %v", command, response, err)
	}
	return below.Count()
}

// shieldHoldings are the commands that give a client what the others name.
func shieldHoldings(f *filter.Filter) [][]byte {
	start := func(kind byte) []byte {
		return put(tpm2.TPMCCStartAuthSession, []uint32{0x40000007, 0x40000007}, nil, sized(make([]byte, 16)), none, []byte{kind, 0, 6, 0, 128, 0, 0x43, 0, 0x0b})
	}
	made := [][]byte{
		put(tpm2.TPMCCCreatePrimary, ownerOnly, byPassword, noSecret, sized(tpm2.Marshal(tpmtest.SRKTemplate())), none, noSelected),
		put(tpm2.TPMCCLoad, parentOnly, byPassword, sized(make([]byte, 100)), sized(tpm2.Marshal(template(false)))),
		start(byte(tpm2.TPMSEHMAC)),
	}
	if f.Allows(tpm2.TPMCCPolicyTemplate) {
		made = append(made, start(byte(tpm2.TPMSEPolicy)))
	}
	return made
}

// willing is a chip that does whatever it is told, and says nothing but handles.
func willing() func(command []byte) ([]byte, error) {
	objects, sessions := uint32(shieldParent), uint32(shieldSession)
	return func(command []byte) ([]byte, error) {
		h, _ := wire.ParseHeader(command)
		m := wire.NewMessage(h.Tag, 0)
		switch shape := wire.ShapeOf(tpm2.TPMCC(h.Code)); {
		case h.Code == uint32(tpm2.TPMCCStartAuthSession):
			kind := binary.BigEndian.Uint32(command[len(command)-9:]) & 0x01000000 // of the session: HMAC or policy
			m.Uint32(sessions | kind)
			sessions++
		case shape.HandleOut():
			m.Uint32(objects)
			objects++
		}
		if h.Tag == tpm2.TPMSTSessions {
			m.Uint32(0)
		}
		c, _ := wire.Parse(command) // what is no command has no sessions either
		for range c.Auths() {
			m.Uint16(0).Uint8(wire.ContinueSession).Uint16(0)
		}
		return m.Bytes(), nil
	}
}

// decryptHandles are handles for each command of the default profile whose first parameter may be encrypted.
var decryptHandles = map[tpm2.TPMCC][]uint32{
	tpm2.TPMCCCreatePrimary: ownerOnly, tpm2.TPMCCCreate: parentOnly, tpm2.TPMCCLoad: parentOnly, tpm2.TPMCCObjectChangeAuth: {shieldKey, shieldParent},
	tpm2.TPMCCSign: keyOnly, tpm2.TPMCCRSADecrypt: keyOnly, tpm2.TPMCCRSAEncrypt: keyOnly, tpm2.TPMCCStartAuthSession: {0x40000007, 0x40000007},
	tpm2.TPMCCHash: nil, tpm2.TPMCCHashSequenceStart: nil, tpm2.TPMCCSequenceUpdate: keyOnly, tpm2.TPMCCSequenceComplete: keyOnly,
}

// eachDecrypting are these commands, with some bytes in place of all parameters.
func eachDecrypting(params []byte) (commands [][]byte) {
	for code, handles := range decryptHandles {
		commands = append(commands, put(code, handles, decrypting, params))
	}
	return commands
}

func TestShieldCoversEachCommand(t *testing.T) {
	for _, s := range wire.Shapes() {
		if _, covered := decryptHandles[s.Code]; covered != (s.MayDecrypt() && filter.Default().Allows(s.Code)) {
			t.Errorf("%s with a session that decrypts is among the rows: %v", s.Name, covered)
		}
	}
}

func signWith(scheme ...byte) []byte {
	return put(tpm2.TPMCCSign, keyOnly, byPassword, sized(digest[:]), scheme, []byte{0x80, 0x24, 0x40, 0, 0, 7, 0, 0})
}

func keyedHash(scheme tpm2.TPMAlgID) []byte {
	m := wire.NewMessage(0, 0).Uint16(uint16(tpm2.TPMAlgKeyedHash)).Uint16(uint16(tpm2.TPMAlgSHA256)).Uint32(wire.UserWithAuth | wire.Sign | wire.NoDA).Uint16(0)
	if m.Uint16(uint16(scheme)); scheme == tpm2.TPMAlgHMAC {
		m.Uint16(uint16(tpm2.TPMAlgSHA256))
	}
	return sized(m.Uint16(0).Bytes()[wire.HeaderSize:])
}

func symmetricKey() []byte {
	m := wire.NewMessage(0, 0).Uint16(uint16(tpm2.TPMAlgSymCipher)).Uint16(uint16(tpm2.TPMAlgSHA256)).Uint32(wire.UserWithAuth | wire.Sign | wire.Decrypt | wire.NoDA)
	m.Uint16(0).Uint16(uint16(tpm2.TPMAlgAES)).Uint16(128).Uint16(uint16(tpm2.TPMAlgCFB)).Uint16(0)
	return sized(m.Bytes()[wire.HeaderSize:])
}

func sized(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

// put writes a command, part after part.
func put(code tpm2.TPMCC, handles []uint32, auths []wire.Auth, params ...[]byte) []byte {
	tag := tpm2.TPMSTNoSessions
	if auths != nil {
		tag = tpm2.TPMSTSessions
	}
	m := wire.NewMessage(tag, uint32(code))
	for _, h := range handles {
		m.Uint32(h)
	}
	if auths != nil {
		putAuths(m, auths)
	}
	return m.Raw(bytes.Join(params, nil)).Bytes()
}

func putAuths(m *wire.Message, auths []wire.Auth) {
	size := 0
	for _, a := range auths {
		size += 9 + len(a.Nonce) + len(a.HMAC)
	}
	m.Uint32(uint32(size))
	for _, a := range auths {
		m.Uint32(a.Session).Raw(sized(a.Nonce)).Uint8(a.Attributes).Raw(sized(a.HMAC))
	}
}
