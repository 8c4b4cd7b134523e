package wire

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// CheckAnswer tells whether a successful response to a command has the parts that it must have (Part 1, 18.9): a handle of the right kind, and where
// there are sessions, as many parameter bytes as it says and one entry for each authorization.
func (c *Command) CheckAnswer(response []byte) error {
	cursor := NewCursor(response)
	cursor.Take(HeaderSize)
	if c.Shape.HandleOut() {
		handle := cursor.Uint32()
		if starts := c.Code == tpm2.TPMCCStartAuthSession; starts && !IsAuthSession(handle) || !starts && !IsTransient(handle) {
			return fmt.Errorf("handle 0x%x in a response to %s", handle, c.Shape.Name)
		}
	}
	if c.Tag == tpm2.TPMSTSessions && !c.answersAuths(&cursor) {
		return fmt.Errorf("the sessions of a response to %s are malformed", c.Shape.Name)
	}
	return nil
}

// answersAuths reads parameters and authorization area of a response (TPMS_AUTH_RESPONSE, Part 2, 10.13.3).
func (c *Command) answersAuths(cursor *Cursor) bool {
	cursor.Take(int(cursor.Uint32()))
	for range c.Auths() {
		nonce, _, hmac := cursor.Sized(), cursor.Uint8(), cursor.Sized()
		if len(nonce) > maxNonce || len(hmac) > maxNonce {
			return false
		}
	}
	return cursor.Done()
}
