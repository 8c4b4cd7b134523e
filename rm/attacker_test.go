//go:build check

package rm_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// An attacker is a client who sends good commands, written and authorized by go-tpm, damaged ones, and those of the grammar.
type attacker struct {
	*grammar
	t       *testing.T
	bench   *hostileBench
	uid     uint32
	space   *rm.Space
	answers map[tpm2.TPMRC]int
	keys    []held
	session []tpm2.Session
	parents []tpm2.NamedHandle
	hashes  []tpm2.AuthHandle
	mine    []uint32 // sessions that were started in this connection
	clean   bool     // commands are not damaged
}

// A held key is one that the attacker has loaded.
type held struct {
	named tpm2.NamedHandle
	auth  []byte
	blob  blob
}

func (a *attacker) open() {
	if a.space != nil {
		a.space.Close()
	}
	var err error
	if a.space, err = a.bench.Open(openAs(a.uid)); err != nil {
		a.t.Fatal(err)
	}
	a.keys, a.session, a.parents, a.hashes, a.mine = nil, nil, nil, nil, nil
}

// Send is where go-tpm's commands come through. One in five is damaged on its way.
func (a *attacker) Send(command []byte) ([]byte, error) {
	if !a.clean && a.often(5) {
		return a.send(a.damage(command))
	}
	return a.send(command)
}

// send counts, and learns from what succeeds. Whatever happens, the answer is one well-formed response.
func (a *attacker) send(command []byte) ([]byte, error) {
	a.bench.sent++
	response, err := a.space.Send(command)
	if err != nil {
		a.t.Errorf("%x: %v", command, err)
		return nil, err
	}
	tag := tpm2.TPMSTNoSessions
	if h, ok := wire.ParseHeader(command); ok {
		tag = h.Tag
	}
	h, err := wire.CheckResponse(response, tag)
	if err != nil {
		a.t.Errorf("%x: %v", command, err)
		return response, nil
	}
	a.answers[tpm2.TPMRC(h.Code)]++
	switch h.Code {
	case 0:
		a.learn(command, response)
	case sessionQuota:
		a.endSession()
	}
	return response, nil
}

// sessionQuota is what the manager answers to a client who has as many sessions as he may.
const sessionQuota = 0x000B0903

// endSession flushes one that was started in this connection, so that others can be started. The principal's other connection may hold them.
func (a *attacker) endSession() {
	if len(a.mine) == 0 {
		return
	}
	handle := a.mine[0]
	a.mine = a.mine[1:]
	a.send(put(tpm2.TPMCCFlushContext, nil, nil, number(handle)))
}

func (a *attacker) learn(command, response []byte) {
	code := tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))
	a.bench.succeeded[code]++
	a.good = keep(a.grammar, a.good, bytes.Clone(command))
	switch shape := wire.ShapeOf(code); {
	case code == tpm2.TPMCCStartAuthSession:
		handle := binary.BigEndian.Uint32(response[10:])
		a.sessions, a.mine = keep(a.grammar, a.sessions, handle), append(a.mine, handle)
	case shape.HandleOut():
		a.handles = keep(a.grammar, a.handles, binary.BigEndian.Uint32(response[10:]))
	case code == tpm2.TPMCCContextSave:
		a.contexts = keep(a.grammar, a.contexts, bytes.Clone(response[10:]))
	}
}

// step does one thing.
func (a *attacker) step() {
	switch a.IntN(10) {
	case 0, 1, 2, 3:
		a.act()
	case 4, 5, 6:
		a.send(a.command())
	case 7:
		a.send(a.damage(a.command()))
	case 8:
		if command := pick(a.grammar, a.good); command != nil {
			a.send(command)
		}
	default:
		if command := pick(a.grammar, a.good); command != nil {
			a.send(a.damage(command))
		}
	}
	if a.often(3000) {
		a.open()
	}
}

var encryptions = []tpm2.AuthOption{tpm2.AESEncryption(128, tpm2.EncryptIn), tpm2.AESEncryption(128, tpm2.EncryptOut), tpm2.AESEncryption(128, tpm2.EncryptInOut)}

// authorize chooses how a handle is authorized: most often rightly.
func (a *attacker) authorize(auth []byte) tpm2.Session {
	switch a.IntN(12) {
	case 0:
		return tpm2.PasswordAuth([]byte("wrong"))
	case 1, 2:
		return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(auth))
	case 3:
		return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth(auth), pick(a.grammar, encryptions))
	case 4:
		return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("wrong")))
	case 5:
		if kept := pick(a.grammar, a.session); kept != nil {
			return kept
		}
	}
	return tpm2.PasswordAuth(auth)
}

// storageParent is the persistent one, or one of the attacker's own.
func (a *attacker) storageParent() tpm2.NamedHandle {
	if len(a.parents) > 0 && a.often(2) {
		return pick(a.grammar, a.parents)
	}
	return tpm2.NamedHandle{Handle: tpmtest.SRKHandle, Name: a.bench.srk}
}
