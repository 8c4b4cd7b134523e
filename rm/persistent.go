package rm

import (
	"bytes"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// A persistent is what is known of a persistent object that clients may name: the storage root key, and those that a filter lists. It is read when a client
// first names it, again at every TPM2_ReadPublic of it, and after a failure that hints at a change.
type persistent struct {
	known    bool
	present  bool // it is there and fit for what clients use it for
	object   filter.Object
	response []byte // of TPM2_ReadPublic: the chip's, or that nothing is there
}

const maxPersistents = 64 // that are remembered; beyond that all are forgotten, which costs one command each

// readsPersistent tells whether a command is the plain TPM2_ReadPublic of such an object, whose answer is the manager's own question. A client that may see
// everything asks the chip.
func (s *Space) readsPersistent(c *wire.Command) bool {
	return c.Code == tpm2.TPMCCReadPublic && len(c.Auths()) == 0 && s.knowsOf(c.Handle(0))
}

// knowsOf tells whether a handle is a persistent one that the client's filter lists.
func (s *Space) knowsOf(handle uint32) bool {
	f := s.filter()
	return wire.IsPersistent(handle) && f.Lists(handle) && !f.Shows(tpm2.TPMHTPersistent)
}

// persistentAt gives what is at a persistent handle. What keep names stays where it is.
func (m *Manager) persistentAt(handle uint32, keep holding) (*persistent, error) {
	p := m.persistents[handle]
	if p == nil {
		if len(m.persistents) >= maxPersistents {
			clear(m.persistents)
		}
		p = &persistent{}
		m.persistents[handle] = p
	}
	if p.known {
		return p, nil
	}
	keep.slots++ // a persistent object is loaded to be read
	if err := m.leaveRoom(keep); err != nil {
		return nil, err
	}
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCReadPublic)).Uint32(handle).Bytes()
	response, rc, err := m.sendMakingRoom(command, keep)
	if err != nil {
		return nil, err
	}
	m.learn(handle, p, response, rc)
	return p, nil
}

// learn takes what TPM2_ReadPublic has said. A warning says nothing of what is there, so it is asked again with the next use.
func (m *Manager) learn(handle uint32, p *persistent, response []byte, rc tpm2.TPMRC) {
	if isWarning(rc) {
		p.present = false
		return
	}
	before := p.response
	*p = persistent{known: true, response: response}
	if rc == 0 {
		c := wire.NewCursor(response[wire.HeaderSize:])
		public, ok := wire.ParsePublic(c.Sized())
		p.present = ok && (handle != wire.SRK || filter.IsSRK(&public))
		p.object = filter.ObjectOf(&public)
	}
	if !p.present {
		p.response = wire.ErrorResponse(filter.RCNoSuch)
	}
	if handle == wire.SRK && before != nil && !bytes.Equal(before, p.response) {
		m.dropPrimaries() // perhaps the TPM was cleared
	}
}

// forgetPersistent has one read again before it is used.
func (m *Manager) forgetPersistent(handle uint32) {
	if p := m.persistents[handle]; p != nil {
		p.known = false
	}
}

// forgetPersistents has all of them read again before they are used.
func (m *Manager) forgetPersistents() {
	for _, p := range m.persistents {
		p.known = false
	}
}

// Failures after which persistent objects are looked at anew: one is gone, or it is not what a key was made under.
func hintsAtChange(rc tpm2.TPMRC) bool {
	return rc&0xBF == tpm2.TPMRCHandle || rc&0xBF == tpm2.TPMRCIntegrity
}
