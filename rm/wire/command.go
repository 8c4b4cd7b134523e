package wire

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// Attributes of a session in a command's authorization area (TPMA_SESSION, Part 2, 8.4).
const (
	ContinueSession uint8 = 1 << 0
	AuditExclusive  uint8 = 1 << 1
	AuditReset      uint8 = 1 << 2
	SessionDecrypt  uint8 = 1 << 5
	SessionEncrypt  uint8 = 1 << 6
	SessionAudit    uint8 = 1 << 7
)

// The most that a command can hold (Part 1, 18).
const (
	maxHandles = 3
	maxAuths   = 3
	maxParams  = 5
	maxNonce   = 64 // TPM2B_NONCE and TPM2B_AUTH hold at most the largest digest
)

// An Auth is one entry of an authorization area (TPMS_AUTH_COMMAND, Part 2, 10.13.2). Its slices share memory with the command.
type Auth struct {
	Session    uint32 // handle of a session, or RSPassword
	Nonce      []byte
	Attributes uint8
	HMAC       []byte // the password itself with RSPassword
	offset     int    // of the session handle in the command
}

// A Command is a whole command, taken apart. Its slices share memory with Bytes.
type Command struct {
	Bytes  []byte
	Tag    tpm2.TPMST
	Code   tpm2.TPMCC
	Shape  *Shape
	params [maxParams][]byte
	auths  [maxAuths]Auth
	nAuths int
}

// rcBadTag is TPM_RC_BAD_TAG (Part 2, 6.6.3), the code that a TPM 1.2 gives too; go-tpm has no name for it.
const rcBadTag tpm2.TPMRC = 0x1E

// Errors of Parse, each with the response code that a TPM gives for it.
var (
	ErrSize       = &FormatError{tpm2.TPMRCCommandSize, "the size field is not the size of the message"}
	ErrTag        = &FormatError{rcBadTag, "the tag is neither TPM_ST_NO_SESSIONS nor TPM_ST_SESSIONS"}
	ErrUnknown    = &FormatError{tpm2.TPMRCCommandCode, "the command code is not known"}
	ErrHandleArea = &FormatError{tpm2.TPMRCCommandSize, "the handle area is cut short"}
	ErrAuthArea   = &FormatError{tpm2.TPMRCAuthSize, "the authorization area is malformed"}
	ErrNoSessions = &FormatError{tpm2.TPMRCAuthContext, "this command takes no sessions"}
	ErrParams     = &FormatError{tpm2.TPMRCSize, "the parameters are malformed"}
)

// A FormatError says why bytes are no command, and what a TPM would answer.
type FormatError struct {
	RC  tpm2.TPMRC
	why string
}

func (e *FormatError) Error() string { return e.why }

// RCOf is the response code for an error of Parse.
func RCOf(err error) tpm2.TPMRC {
	var format *FormatError
	if errors.As(err, &format) {
		return format.RC
	}
	return tpm2.TPMRCFailure
}

// Parse takes a command apart. Every byte belongs to a part, or the command is refused; parameters are read where the
// command's row has their form. Of a command that has only a name here, nothing behind the header is read.
func Parse(command []byte) (Command, error) {
	h, _ := ParseHeader(command)
	return ParseAs(command, ShapeOf(tpm2.TPMCC(h.Code)))
}

// ParseAs is Parse of a command whose shape is known from elsewhere.
func ParseAs(command []byte, shape *Shape) (Command, error) {
	h, ok := ParseHeader(command)
	if !ok || int(h.Size) != len(command) || len(command) > MaxCommand {
		return Command{}, ErrSize
	}
	c := Command{Bytes: command, Tag: h.Tag, Code: tpm2.TPMCC(h.Code), Shape: shape}
	switch {
	case h.Tag != tpm2.TPMSTNoSessions && h.Tag != tpm2.TPMSTSessions:
		return c, ErrTag
	case c.Shape == nil:
		return c, ErrUnknown
	case c.Shape.NameOnly():
		return c, nil
	}
	return c, c.parseBody()
}

func (c *Command) parseBody() error {
	cursor := NewCursor(c.Bytes[HeaderSize:])
	if cursor.Take(4 * c.Shape.Handles); cursor.Failed() {
		return ErrHandleArea
	}
	if c.Tag == tpm2.TPMSTSessions {
		if c.Shape.NoSessions() {
			return ErrNoSessions
		}
		if !c.parseAuths(&cursor) {
			return ErrAuthArea
		}
	}
	return c.parseParams(cursor)
}

// parseAuths reads the authorization area: its size, then one to three entries that fill it exactly.
func (c *Command) parseAuths(cursor *Cursor) bool {
	area := NewCursor(cursor.Take(int(cursor.Uint32())))
	if cursor.Failed() {
		return false
	}
	end := len(c.Bytes) - len(cursor.Rest())
	for c.nAuths < maxAuths && !area.Done() {
		a := &c.auths[c.nAuths]
		a.offset = end - len(area.Rest())
		a.Session, a.Nonce = area.Uint32(), area.Sized()
		a.Attributes, a.HMAC = area.Uint8(), area.Sized()
		if area.Failed() || len(a.Nonce) > maxNonce || len(a.HMAC) > maxNonce {
			return false
		}
		c.nAuths++
	}
	return c.nAuths > 0 && area.Done()
}

func (c *Command) parseParams(cursor Cursor) error {
	for i, p := range c.Shape.params {
		before := cursor.Rest()
		if i == 0 && c.Decrypts() {
			sizedAtMost(p.most)(&cursor) // ciphertext: only its size can be right or wrong
		} else {
			p.read(&cursor)
		}
		c.params[i] = before[:len(before)-len(cursor.Rest())]
		if cursor.Failed() {
			return ErrParams
		}
	}
	if c.Shape.params != nil && !cursor.Done() {
		return ErrParams
	}
	return nil
}

// Handle gives handle i of the handle area, counted from 0.
func (c *Command) Handle(i int) uint32 {
	return binary.BigEndian.Uint32(c.Bytes[HeaderSize+4*i:])
}

// SetHandle overwrites handle i of the handle area of a command's bytes.
func SetHandle(command []byte, i int, handle uint32) {
	binary.BigEndian.PutUint32(command[HeaderSize+4*i:], handle)
}

// Auths gives the entries of the authorization area.
func (c *Command) Auths() []Auth { return c.auths[:c.nAuths] }

// Param gives the bytes of a parameter by its name in Part 3, or nil. An encrypted one is given as it came.
func (c *Command) Param(name string) []byte {
	for i, p := range c.Shape.params {
		if p.name == name {
			return c.params[i]
		}
	}
	return nil
}

// ParamNames lists the parameters whose form is known, in their order.
func (s *Shape) ParamNames() []string {
	var names []string
	for _, p := range s.params {
		names = append(names, p.name)
	}
	return names
}

// ParamsKnown tells whether the form of all parameters is known here.
func (s *Shape) ParamsKnown() bool { return s.params != nil }

// Decrypts tells whether the first parameter is encrypted.
func (c *Command) Decrypts() bool {
	return slices.ContainsFunc(c.Auths(), func(a Auth) bool { return a.Session != RSPassword && a.Attributes&SessionDecrypt != 0 })
}
