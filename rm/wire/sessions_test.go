package wire_test

import (
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// How a chip treats the sessions of each command, against the table: which handles must be authorized, what may be encrypted, whether a session may be there
// at all. A TPM looks at handles, then sessions, then parameters (Part 3, 5.4 to 5.8), so commands with parameters that are wrong get far enough, and none is run.

// Parameters that no command has: too few for most, too many for the others. With a session that decrypts, the size of the first one must be right: some
// chips read beyond the end otherwise (CVE-2023-1017).
var noParams = []byte{0, 0, 0xFF}

func TestSessionsAsTheTableSays(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		c, probed := newCast(t, spec), 0
		for _, cc := range commandAttributes(t, c.tpm) {
			s := wire.ShapeOf(tpm2.TPMCC(cc & wire.CommandIndex))
			if s == nil || s.Code == tpm2.TPMCCStartup { // a chip that is started says only that
				continue
			}
			handles, ok := c.accepted(t, s, nil)
			if !ok {
				t.Errorf("%s: no handles are right", s.Name)
				continue
			}
			c.checkSessions(t, s, handles)
			probed++
		}
		if probed < 100 {
			t.Errorf("%d commands were asked about", probed)
		}
	})
}

func (c *cast) checkSessions(t *testing.T, s *wire.Shape, handles []uint32) {
	t.Helper()
	none := c.ask(t, s, handles)
	one := c.ask(t, s, handles, session{wire.RSPassword, 0})
	decrypt := c.ask(t, s, handles, session{c.hmac, wire.ContinueSession | wire.SessionDecrypt})
	encrypt := c.ask(t, s, handles, session{c.hmac, wire.ContinueSession | wire.SessionEncrypt})
	for _, row := range []struct {
		what         string
		rc           tpm2.TPMRC
		theirs, ours bool
	}{
		{"needs an authorization", none, none == tpm2.TPMRCAuthMissing, s.Auths > 0},
		{"needs two", one, one == tpm2.TPMRCAuthMissing, s.Auths > 1},
		{"takes no session", one, one == tpm2.TPMRCAuthContext, s.NoSessions()},
		{"may decrypt", decrypt, !refusesAttributes(decrypt), s.MayDecrypt()},
		{"may encrypt", encrypt, !refusesAttributes(encrypt), s.MayEncrypt()},
	} {
		if row.theirs != row.ours {
			t.Errorf("%s %s: %v on the chip (0x%x), %v in the table", s.Name, row.what, row.theirs, uint32(row.rc), row.ours)
		}
	}
}

// refusesAttributes tells whether a code is TPM_RC_ATTRIBUTES of session 1, or that there may be no session.
func refusesAttributes(rc tpm2.TPMRC) bool {
	return rc == tpm2.TPMRCAttributes|0x900 || rc == tpm2.TPMRCAuthContext
}

type session struct {
	handle     uint32
	attributes uint8
}

// ask sends a command that no chip runs, and gives what the chip says of it.
func (c *cast) ask(t *testing.T, s *wire.Shape, handles []uint32, sessions ...session) tpm2.TPMRC {
	t.Helper()
	tag := tpm2.TPMSTNoSessions
	if len(sessions) > 0 {
		tag = tpm2.TPMSTSessions
	}
	m := wire.NewMessage(tag, uint32(s.Code))
	for _, h := range handles {
		m.Uint32(h)
	}
	if len(sessions) > 0 {
		m.Uint32(uint32(9 * len(sessions)))
	}
	for _, a := range sessions {
		m.Uint32(a.handle).Uint16(0).Uint8(a.attributes).Uint16(0)
	}
	rc := exchange(t, c.tpm, m.Raw(noParams).Bytes())
	if rc == 0 {
		t.Fatalf("%s was run", s.Name)
	}
	return rc
}

// exchange gives the code of a response.
func exchange(t *testing.T, tpm tpmtest.Sender, command []byte) tpm2.TPMRC {
	t.Helper()
	response, err := tpm.Send(command)
	h, ok := wire.ParseHeader(response)
	if err != nil || !ok {
		t.Fatalf("%x: %x, %v", command, response, err)
	}
	return tpm2.TPMRC(h.Code)
}

// accepted finds handles that a command takes, beginning with those that are given.
func (c *cast) accepted(t *testing.T, s *wire.Shape, handles []uint32) ([]uint32, bool) {
	t.Helper()
	if len(handles) == s.Handles {
		return slices.Clone(handles), !refusesHandle(c.ask(t, s, handles))
	}
	for _, h := range c.handles() {
		if found, ok := c.accepted(t, s, append(handles, h)); ok {
			return found, true
		}
	}
	return nil, false
}

// refusesHandle tells whether a code is about a handle: a format-one code with a handle's number, or TPM_RC_REFERENCE_H0 to H6 (Part 2, 6.6).
func refusesHandle(rc tpm2.TPMRC) bool {
	const formatOne, parameter, number = 0x80, 0x40, 0xF00
	if rc&formatOne == 0 {
		return rc >= tpm2.TPMRCReferenceH0 && rc < tpm2.TPMRCReferenceH0+7
	}
	return rc&parameter == 0 && rc&number > 0 && rc&number < 0x800
}
