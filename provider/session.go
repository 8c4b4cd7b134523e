package provider

import (
	"crypto/sha256"

	"github.com/google/go-tpm/tpm2"
)

// maxSessions is how many sessions stay open on a connection: a manager allows a client 4, and one more may be needed for a moment.
const maxSessions = 3

const nonceSize = 16

// saltedSession starts an HMAC session whose key is salted to a parent (TPM2_StartAuthSession, Part 3, 11.1) and that encrypts the first parameter of
// commands. The salt is encrypted to the public area whose Name was checked, so nobody on the bus can read along. auth is the authValue of what it will
// authorize; the session keeps the slice.
func (c *connection) saltedSession(p *parent, auth []byte) (tpm2.Session, error) {
	session, _, err := tpm2.HMACSession(c.tpm, tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(auth), tpm2.AESEncryption(128, tpm2.EncryptIn),
		tpm2.Salted(p.handle.Handle, p.public))
	return session, err
}

// unload takes a key off the connection, with its session. One that is in use goes when the last user is done.
func (c *connection) unload(id [sha256.Size]byte) {
	key := c.loaded[id]
	if key == nil {
		return
	}
	delete(c.loaded, id)
	if key.gone = true; key.users == 0 {
		c.drop(key)
	}
}

// drop flushes a key and its session, and wipes the PIN that the session knew.
func (c *connection) drop(key *loadedKey) {
	c.flush(key.handle.Handle)
	if key.session != nil {
		c.flush(key.session.Handle())
	}
	clear(key.auth)
}

// wipe wipes the PINs that a connection's sessions knew; those in use, when they are used no more.
func (c *connection) wipe() {
	for _, key := range c.loaded {
		if key.gone = true; key.users == 0 {
			clear(key.auth)
		}
	}
}

// sessions counts the keys that have one.
func (c *connection) sessions() (n int) {
	for _, key := range c.loaded {
		if key.session != nil {
			n++
		}
	}
	return n
}
