package rm

import "slices"

// A session is an authorization session that a client started. Unlike an object it keeps its handle when it is saved, and saving
// takes it off the chip; each saved context is good for one load. Saved or not, it takes one of the chip's handles.
//
//	loaded ──save──► saved ──bring──► loaded
type session struct {
	handle  uint32 // the chip's and the client's
	loaded  bool
	context []byte // while it is saved; a session that is neither loaded nor saved is lost
	used    uint64 // by Manager.clock
}

// Loaded sessions that we keep on a shared chip: every PC Client TPM has at least three, and one is left to the others.
const sharedSessions = 3 - 1

func (m *Manager) newSession(handle uint32) *session {
	m.clock++
	s := &session{handle: handle, loaded: true, used: m.clock}
	m.sessions = append(m.sessions, s)
	return s
}

// bringSession puts a session on the chip. It reports false for one that is lost.
func (m *Manager) bringSession(s *session, keep holding) (bool, error) {
	m.clock++
	s.used = m.clock
	if s.loaded || s.context == nil {
		return s.loaded, nil
	}
	if err := m.leaveSessionRoom(keep); err != nil {
		return false, err
	}
	_, rc, err := m.load(s.context, keep)
	if err != nil || isFull(rc) {
		return false, err
	}
	if rc != 0 { // the TPM was reset since
		s.context = nil
		return false, nil
	}
	s.loaded, s.context = true, nil
	return true, nil
}

// forgetSession ends what is known of a session.
func (m *Manager) forgetSession(s *session) {
	m.sessions = slices.DeleteFunc(m.sessions, func(other *session) bool { return other == s })
}

// endSession takes a session off the chip.
func (m *Manager) endSession(s *session) {
	if m.forgetSession(s); s.loaded || s.context != nil {
		m.flush(s.handle)
	}
}

func (m *Manager) loadedSessions() []*session {
	var loaded []*session
	for _, s := range m.sessions {
		if s.loaded {
			loaded = append(loaded, s)
		}
	}
	return loaded
}

// leaveSessionRoom saves sessions until one more fits beside the others of a shared chip.
func (m *Manager) leaveSessionRoom(keep holding) error {
	for m.config.Sharing == Shared && len(m.loadedSessions()) >= sharedSessions {
		if saved, err := m.saveOneSession(keep); err != nil || !saved {
			return err
		}
	}
	return nil
}

// saveOneSession saves the session that was used longest ago. It reports false when all that are loaded must stay.
func (m *Manager) saveOneSession(keep holding) (bool, error) {
	var oldest *session
	for _, s := range m.loadedSessions() {
		if !slices.Contains(keep.sessions, s) && (oldest == nil || s.used < oldest.used) {
			oldest = s
		}
	}
	if oldest == nil {
		return false, nil
	}
	return true, m.saveSession(oldest)
}

// saveSession saves a session. One that the chip refuses to save is lost, but not left behind.
func (m *Manager) saveSession(s *session) error {
	context, err := m.save(s.handle)
	if err != nil {
		return err
	}
	if s.loaded, s.context = false, context; context == nil {
		m.flush(s.handle)
	}
	return nil
}
