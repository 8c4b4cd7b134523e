package rm

import (
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// A session is an authorization session that a client started. Unlike an object it keeps its handle when it is saved, and saving
// takes it off the chip; each saved context is good for one load. Saved or not, it takes one of the chip's handles.
//
//	loaded ──save──► saved ──bring──► loaded
type session struct {
	principal uint32 // whose it is
	space     *Space // the client's; nil while its context is saved and nobody has loaded it again
	serial    uint64 // of the saved context that it can be claimed with
	bound     bool   // by somebody's auth value, which its HMACs depend on (U11)
	counts    bool   // bound to what the chip counts failures of (U6)
	handle    uint32 // the chip's and the client's
	loaded    bool
	context   []byte // while it is saved; a session that is neither loaded nor saved is lost
	moving    bool   // while it is being loaded or saved, and when the answer to that was lost
	old       bool   // saved before a reset
	used      uint64 // by Manager.clock
	savedAt   uint64 // by Manager.sessionSaves
}

func (m *Manager) newSession(handle uint32, space *Space) *session {
	m.clock++
	m.sessions = slices.DeleteFunc(m.sessions, func(other *session) bool {
		stale := other.handle == handle // it is gone, or the chip would not give its handle out
		if stale {
			other.loaded, other.context = false, nil
		}
		return stale
	})
	m.making = nil
	s := &session{principal: space.principal, space: space, handle: handle, loaded: true, used: m.clock}
	m.sessions = append(m.sessions, s)
	return s
}

// bringSession puts a session on the chip. The code is rcReferenceS0 for one that is lost, or why there is no room for it.
func (m *Manager) bringSession(s *session, keep holding) (tpm2.TPMRC, error) {
	m.clock++
	s.used = m.clock
	switch {
	case s.loaded:
		return 0, nil
	case s.isLost():
		return rcReferenceS0, nil
	}
	if rc, err := m.leaveSessionRoom(keep); err != nil || rc != 0 {
		return rc, err
	}
	s.moving = true
	_, rc, err := m.load(s.context, keep)
	s.moving = err != nil
	if err != nil || isWarning(rc) {
		return rc, err
	}
	if rc != 0 {
		return rcReferenceS0, m.loseSaved(s)
	}
	s.loaded, s.context, s.old = true, nil, false
	return 0, nil
}

// loseSaved is for a session whose saved context the chip refuses: the TPM was reset since, or the context is damaged, and then the session is still there.
func (m *Manager) loseSaved(s *session) error {
	s.context = nil
	if m.config.Sharing == Alone {
		m.flush(s.stray())
		return m.broken
	}
	s.moving = !s.old
	m.suspectReset()
	return m.certain()
}

// forgetSession ends what is known of a session.
func (m *Manager) forgetSession(s *session) {
	m.sessions = slices.DeleteFunc(m.sessions, func(other *session) bool { return other == s })
}

// endSession takes a session off the chip.
func (m *Manager) endSession(s *session) {
	m.forgetSession(s)
	switch {
	case s.isLost():
	case s.context != nil && m.config.Sharing == Shared:
		m.flushSaved(s.stray())
	default:
		m.flush(s.stray())
	}
}

// isLost tells whether a session is neither on the chip nor saved.
func (s *session) isLost() bool { return !s.loaded && s.context == nil }

func (m *Manager) loadedSessions() []*session {
	var loaded []*session
	for _, s := range m.sessions {
		if s.loaded {
			loaded = append(loaded, s)
		}
	}
	return loaded
}
