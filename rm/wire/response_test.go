package wire

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
)

var responseRows = []struct {
	response string
	sent     tpm2.TPMST
}{
	{"8001 0000000a 00000000", tpm2.TPMSTNoSessions},
	{"8001 0000000a 0000098e", tpm2.TPMSTSessions},
	{"00c4 0000000a 0000001e", tpm2.TPMSTNoSessions},
	{"8001 0000000c 00000000 0000", tpm2.TPMSTNoSessions},
	{"8002 00000013 00000000 00000000 0000 01 0000", tpm2.TPMSTSessions},
	{"8001 0000000b 0000098e 00", tpm2.TPMSTNoSessions},
	{"8001 0000000a 00000000 00", tpm2.TPMSTNoSessions},
	{"8001 0000000b 00000000", tpm2.TPMSTNoSessions},
	{"8002 0000000a 00000000", tpm2.TPMSTNoSessions},
	{"0000 00000000 00000000", tpm2.TPMSTNoSessions},
}

// FuzzCheckResponse: what passes is one message of the size that it names, an error is a header and no more, a success has the command's tag.
func FuzzCheckResponse(f *testing.F) {
	for _, row := range responseRows {
		f.Add(unhex(f, row.response), uint16(row.sent))
	}
	f.Fuzz(func(t *testing.T, b []byte, sent uint16) {
		h, err := CheckResponse(b, tpm2.TPMST(sent))
		if err != nil {
			return
		}
		again := NewMessage(h.Tag, h.Code).Raw(b[HeaderSize:]).Bytes()
		if string(again) != string(b) || h.Code != 0 && len(b) != HeaderSize || h.Code == 0 && uint16(h.Tag) != sent {
			t.Errorf("%x to a command with tag 0x%x passes as %+v", b, sent, h)
		}
	})
}

// FuzzCheckAnswer: an answer with sessions that passes is complete to the byte.
func FuzzCheckAnswer(f *testing.F) {
	for _, row := range parseRows {
		if row.want != nil {
			continue
		}
		for _, response := range responseRows {
			f.Add(rowBytes(f, row.command, nil), unhex(f, response.response))
		}
		f.Add(rowBytes(f, row.command, nil), unhex(f, "8002 0000001b 00000000 00000004 0002aabb 0002ccdd 01 0002eeff"))
	}
	f.Fuzz(func(t *testing.T, command, response []byte) {
		c, err := Parse(command)
		if err != nil || c.CheckAnswer(response) != nil || c.Tag != tpm2.TPMSTSessions {
			return
		}
		if c.CheckAnswer(response[:len(response)-1]) == nil || c.CheckAnswer(append(response, 0)) == nil {
			t.Errorf("%x passes as an answer to %x, and so does it shortened or lengthened", response, command)
		}
	})
}
