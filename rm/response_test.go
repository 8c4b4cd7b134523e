package rm_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// conversation is what a client says to its manager in a fuzz run: a little of everything for which a manager looks into responses.
var conversation = [][]byte{
	put(tpm2.TPMCCReadPublic, []uint32{wire.SRK}, nil),
	put(tpm2.TPMCCGetCapability, nil, nil, []byte{0, 0, 0, 2}, []byte{0, 0, 0, 0}, []byte{0, 0, 0, 99}),
	put(tpm2.TPMCCGetCapability, nil, nil, []byte{0, 0, 0, 6}, []byte{0, 0, 1, 0}, []byte{0, 0, 0, 99}),
	put(tpm2.TPMCCCreatePrimary, ownerOnly, byPassword, noSecret, sized(tpm2.Marshal(tpmtest.SRKTemplate())), none, noSelected),
	put(tpm2.TPMCCLoad, parentOnly, byPassword, sized(make([]byte, 100)), sized(tpm2.Marshal(template(true)))),
	put(tpm2.TPMCCStartAuthSession, []uint32{0x40000007, 0x40000007}, nil, sized(make([]byte, 16)), none, []byte{0, 0, 0x10, 0, 0x0b}),
	signWith(0, 0x14, 0, 0x0b),
	put(tpm2.TPMCCSign, keyOnly, []wire.Auth{{Session: shieldSession, Attributes: wire.ContinueSession}}, sized(digest[:]), []byte{0, 0x14, 0, 0x0b}, []byte{0x80, 0x24, 0x40, 0, 0, 7, 0, 0}),
	put(tpm2.TPMCCContextSave, keyOnly, nil),
	put(tpm2.TPMCCCreatePrimary, []uint32{0x40000007}, byPassword, noSecret, sized(tpm2.Marshal(tpmtest.SRKTemplate())), none, noSelected),
	put(tpm2.TPMCCCreatePrimary, []uint32{0x40000007}, byPassword, noSecret, sized(tpm2.Marshal(template(false))), none, noSelected),
	signWith(0, 0x14, 0, 0x0b),
	put(tpm2.TPMCCFlushContext, nil, nil, []byte{0x80, 0, 0, 1}),
	put(0x199, nil, nil),
}

// FuzzResponse: a chip that answers one command with anything. Every client gets a well-formed response or an error, the manager goes on, and another client
// can use the chip.
func FuzzResponse(f *testing.F) {
	seeds := 0
	for _, response := range realResponses(f) {
		for step := range conversation {
			f.Add(uint8(step), uint8(step), response)
			seeds++
		}
	}
	if seeds < 100 {
		f.Fatalf("%d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, step, mode uint8, response []byte) {
		asked, answer := 0, willing()
		below := tpmtest.Func(func(command []byte) ([]byte, error) {
			if asked++; asked == int(step)+1 {
				return bytes.Clone(response), nil
			}
			return answer(command)
		})
		converse(t, below, rm.Sharing(mode%3), named(t, []string{"rsa", "all"}[mode/3%2]))
	})
}

// realResponses are those of a recorded dialogue, and what begins like them.
func realResponses(f *testing.F) (responses [][]byte) {
	f.Helper()
	text, err := os.ReadFile("../provider/testdata/swtpm.dialogue")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		digits, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("< "))
		if !ok {
			continue
		}
		response, err := hex.DecodeString(string(digits))
		if err != nil {
			f.Fatal(err)
		}
		responses = append(responses, response, response[:len(response)/2])
	}
	for n := range 16 { // successes that end early
		responses = append(responses, wire.NewMessage(tpm2.TPMSTNoSessions, 0).Raw(make([]byte, n)).Bytes(),
			wire.NewMessage(tpm2.TPMSTSessions, 0).Raw([]byte{0x80, 0, 0, 0}).Raw(make([]byte, n)).Bytes())
	}
	return append(responses, wire.ErrorResponse(tpm2.TPMRCObjectMemory), wire.ErrorResponse(tpm2.TPMRCSessionMemory), wire.ErrorResponse(0x910))
}

// converse is one client's conversation with a manager above a chip, and then another's.
func converse(t *testing.T, below tpmtest.Sender, sharing rm.Sharing, f *filter.Filter) {
	m := rm.New(rm.Config{Sharing: sharing, Open: func() (rm.Chip, error) { return chip{below}, nil }})
	defer func() { go m.Close() }() // which waits a moment where a failure has left something on a chip that others use
	first, err := m.Open(rm.Options{UID: nobody, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range conversation {
		response, err := first.Send(command)
		h, _ := wire.ParseHeader(command)
		if err != nil {
			continue
		}
		if _, err := wire.CheckResponse(response, h.Tag); err != nil {
			t.Errorf("to %x: %x: %v", command, response, err)
		}
	}
	other, err := m.Open(rm.Options{UID: nobody + 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = other.Send(getRandom); err != nil { // the bad answer has come as late as that
		_, err = other.Send(getRandom)
	}
	if err != nil {
		t.Errorf("another client: %v", err)
	}
}
