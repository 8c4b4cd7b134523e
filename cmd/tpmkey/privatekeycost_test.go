package main

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"strings"
	"testing"
)

// A key of OpenSSH's that asks for hours of work with each password is refused before one is asked for.
func TestOpenSSHCost(t *testing.T) {
	text := made(t, t.TempDir(), "ssh-keygen", "-q", "-t", "rsa", "-a", "7", "-N", "x", "-f", "out")
	block, _ := pem.Decode(text)
	salted := bytes.Index(block.Bytes, []byte("\x00\x00\x00\x10")) // a salt of 16 bytes, and then the rounds
	for rounds, want := range map[uint32]string{7: "", maxRounds: "", maxRounds + 1: "5001 rounds of bcrypt", 1<<32 - 1: "4294967295 rounds of bcrypt"} {
		if salted < 0 || rounds == 7 && binary.BigEndian.Uint32(block.Bytes[salted+20:]) != rounds {
			t.Fatalf("the rounds are elsewhere: %x", block.Bytes[:80])
		}
		changed := &pem.Block{Type: block.Type, Bytes: bytes.Clone(block.Bytes)}
		binary.BigEndian.PutUint32(changed.Bytes[salted+20:], rounds)
		locked, err := parsePrivateKey(pem.EncodeToMemory(changed))
		if want == "" && (err != nil || !locked.needsPassword) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d rounds: %v, want %q", rounds, err, want)
		}
	}
}
