// Package wire reads and writes the bytes that travel between a program and a TPM 2.0: headers, handles, authorization
// areas, parameters. It knows shapes, never policy.
//
// Parsing gives a whole value or an error, never half of one, and every byte is accounted for.
package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Sizes of TPM messages in bytes.
const (
	HeaderSize = 10   // tag, size, code (Part 1, 18.2)
	MaxCommand = 4096 // the largest command until a chip's TPM_PT_MAX_COMMAND_SIZE is known
)

// Header is what a command and a response begin with (Part 1, 18.2).
type Header struct {
	Tag  tpm2.TPMST
	Size uint32 // of the whole message
	Code uint32 // TPM_CC of a command, TPM_RC of a response
}

// ParseHeader reads the first ten bytes of a message.
func ParseHeader(message []byte) (Header, bool) {
	if len(message) < HeaderSize {
		return Header{}, false
	}
	return Header{
		Tag:  tpm2.TPMST(binary.BigEndian.Uint16(message)),
		Size: binary.BigEndian.Uint32(message[2:]),
		Code: binary.BigEndian.Uint32(message[6:]),
	}, true
}

// ErrorResponse is a whole response that says rc and nothing else.
func ErrorResponse(rc tpm2.TPMRC) []byte {
	return NewMessage(tpm2.TPMSTNoSessions, uint32(rc)).Bytes()
}

// A Message is being written: a header, then what is appended.
type Message struct{ bytes []byte }

// NewMessage starts a command (code is a TPM_CC) or a response (code is a TPM_RC).
func NewMessage(tag tpm2.TPMST, code uint32) *Message {
	m := &Message{bytes: make([]byte, 0, 64)}
	return m.Uint16(uint16(tag)).Uint32(0).Uint32(code)
}

// Uint8 appends one byte.
func (m *Message) Uint8(v uint8) *Message {
	m.bytes = append(m.bytes, v)
	return m
}

// Uint16 appends a big-endian 16-bit value.
func (m *Message) Uint16(v uint16) *Message {
	m.bytes = binary.BigEndian.AppendUint16(m.bytes, v)
	return m
}

// Uint32 appends a big-endian 32-bit value.
func (m *Message) Uint32(v uint32) *Message {
	m.bytes = binary.BigEndian.AppendUint32(m.bytes, v)
	return m
}

// Raw appends bytes as they are.
func (m *Message) Raw(b []byte) *Message {
	m.bytes = append(m.bytes, b...)
	return m
}

// Bytes is the finished message, its size field filled in.
func (m *Message) Bytes() []byte {
	binary.BigEndian.PutUint32(m.bytes[2:], uint32(len(m.bytes)))
	return m.bytes
}

// CheckResponse tells whether b is one well-formed response to a command that was sent with the tag sent: the size field
// equals what was received, the tag fits, and an error is a bare header (Part 3, 5.4).
func CheckResponse(b []byte, sent tpm2.TPMST) (Header, error) {
	h, ok := ParseHeader(b)
	switch {
	case !ok:
		return h, fmt.Errorf("response of %d bytes: shorter than a header", len(b))
	case int(h.Size) != len(b):
		return h, fmt.Errorf("response of %d bytes says it has %d", len(b), h.Size)
	case h.Code != 0 && len(b) != HeaderSize:
		return h, fmt.Errorf("error response 0x%x of %d bytes", h.Code, len(b))
	case h.Code != 0:
		return h, nil // the tag of an error is TPM_ST_NO_SESSIONS, or TPM_ST_RSP_COMMAND for TPM_RC_BAD_TAG
	case h.Tag != sent:
		return h, fmt.Errorf("response tag 0x%x to a command with tag 0x%x", uint16(h.Tag), uint16(sent))
	}
	return h, nil
}
