package rm

import (
	"bytes"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// srk is what is known of the persistent object 0x81000001 (U9). It is read when a client first names it, again at every
// TPM2_ReadPublic of it, and after a failure that hints at a change.
type srk struct {
	known    bool
	present  bool // it is there and fit to be everybody's parent
	object   filter.Object
	response []byte // of TPM2_ReadPublic: the chip's, or that nothing is there
}

// readsSRK tells whether a command is the plain TPM2_ReadPublic of the storage root key, whose answer is the manager's own question.
func (s *Space) readsSRK(c *wire.Command) bool {
	return c.Code == tpm2.TPMCCReadPublic && c.Handle(0) == wire.SRK && len(c.Auths()) == 0
}

// storageRootKey gives what is at 0x81000001, if it may be used as a parent.
func (m *Manager) storageRootKey() (filter.Object, bool, error) {
	if m.srk.known {
		return m.srk.object, m.srk.present, nil
	}
	keep := holding{slots: 1} // a persistent object is loaded to be read
	if err := m.leaveRoom(keep); err != nil {
		return filter.Object{}, false, err
	}
	command := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCReadPublic)).Uint32(wire.SRK).Bytes()
	response, rc, err := m.sendMakingRoom(command, keep)
	if err != nil {
		return filter.Object{}, false, err
	}
	m.learnSRK(response, rc)
	return m.srk.object, m.srk.present, nil
}

func (m *Manager) learnSRK(response []byte, rc tpm2.TPMRC) {
	before := m.srk.response
	m.srk = srk{known: true, response: response}
	if rc == 0 {
		c := wire.NewCursor(response[wire.HeaderSize:])
		p, ok := wire.ParsePublic(c.Sized())
		m.srk.present = ok && filter.IsSRK(&p)
		m.srk.object = filter.ObjectOf(&p)
	}
	if !m.srk.present {
		m.srk.response = wire.ErrorResponse(filter.RCNoSuch)
	}
	if before != nil && !bytes.Equal(before, m.srk.response) {
		m.dropPrimaries() // perhaps the TPM was cleared
	}
}

// Failures after which the storage root key is looked at anew: it is gone, or it is not what a key was made under.
func hintsAtChange(rc tpm2.TPMRC) bool {
	return rc&0xBF == tpm2.TPMRCHandle || rc&0xBF == tpm2.TPMRCIntegrity
}
