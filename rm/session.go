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
	counts    bool   // bound to what the chip counts failures of (U6)
	handle    uint32 // the chip's and the client's
	loaded    bool
	context   []byte // while it is saved; a session that is neither loaded nor saved is lost
	moving    bool   // while it is being loaded or saved, and when the answer to that was lost
	used      uint64 // by Manager.clock
	savedAt   uint64 // by Manager.sessionSaves
}

// Limits of authorization sessions, which all of a chip's clients share: every PC Client TPM has 64 (PTP 1.05, 4.4).
const (
	maxParked            = 4       // of one principal, saved and waiting to be loaded again
	unprivilegedSessions = 64 - 16 // of all but root, for whom and for the kernel the rest is kept
)

// gapMargin is how many sessions may be saved after one before that one is saved anew: the chip allows 2^16 - 1 at most, others save sessions too, and
// when it is too late nobody can save any more.
const gapMargin = 1 << 14

// Loaded sessions that we keep on a shared chip: every PC Client TPM has at least three, and one is left to the others.
const sharedSessions = 3 - 1

func (m *Manager) newSession(handle uint32, space *Space, counts bool) *session {
	m.clock++
	m.sessions = slices.DeleteFunc(m.sessions, func(other *session) bool {
		stale := other.handle == handle // it is gone, or the chip would not give its handle out
		if stale {
			other.loaded, other.context = false, nil
		}
		return stale
	})
	m.making = nil
	s := &session{principal: space.principal, space: space, counts: counts, handle: handle, loaded: true, used: m.clock}
	m.sessions = append(m.sessions, s)
	return s
}

// sessionQuota is why a client may not start another session, or 0. When those of all unprivileged principals together run short, the one that holds the
// most gives one up.
func (s *Space) sessionQuota() tpm2.TPMRC {
	m := s.manager
	switch {
	case len(s.sessions) >= m.limits.Sessions:
		return rcSessionQuota
	case s.isRoot():
		return 0
	case m.sessionsOf(s.principal) >= m.limits.PrincipalSessions && !m.endParked(s.principal):
		return rcSessionQuota
	case len(m.sessions)-m.sessionsOf(root) >= unprivilegedSessions && !m.shedSession(holding{}):
		return rcNoSessions
	}
	return 0
}

func (m *Manager) sessionsOf(principal uint32) (n int) {
	for _, s := range m.sessions {
		if s.principal == principal {
			n++
		}
	}
	return n
}

// endParked ends the session of a principal whose context was saved longest ago and not loaded since. It reports false when there is none.
func (m *Manager) endParked(principal uint32) bool {
	var oldest *session
	for _, s := range m.parkedOf(principal) {
		if oldest == nil || s.serial < oldest.serial {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	m.endSession(oldest)
	return true
}

// parkedOf are the sessions of a principal whose contexts are saved.
func (m *Manager) parkedOf(principal uint32) (parked []*session) {
	for _, s := range m.sessions {
		if s.space == nil && s.principal == principal {
			parked = append(parked, s)
		}
	}
	return parked
}

// parked is the session of the client's principal with this handle whose context is saved.
func (s *Space) parked(handle uint32) *session {
	for _, parked := range s.manager.parkedOf(s.options.UID) {
		if parked.handle == handle {
			return parked
		}
	}
	return nil
}

// park leaves a session to whoever of its principal loads its saved context.
func (s *Space) park(parked *session, serial uint64) {
	for len(s.manager.parkedOf(s.principal)) >= maxParked {
		s.manager.endParked(s.principal)
	}
	delete(s.sessions, parked.handle)
	parked.space, parked.serial = nil, serial
}

// shedSession ends the session that was used longest ago of the unprivileged principal who holds the most. Its client hears that it is lost.
func (m *Manager) shedSession(keep holding) bool {
	var worst *session
	most := 0
	for _, s := range m.sessions {
		if s.principal == root || slices.Contains(keep.sessions, s) {
			continue
		}
		if n := m.sessionsOf(s.principal); n > most || n == most && s.used < worst.used {
			worst, most = s, n
		}
	}
	if worst == nil {
		return false
	}
	m.endSession(worst)
	worst.loaded, worst.context = false, nil
	return true
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
	s.moving = true
	_, rc, err := m.load(s.context, keep)
	s.moving = err != nil
	if err != nil || isFull(rc) {
		return false, err
	}
	if rc != 0 { // the TPM was reset since
		s.context = nil
		m.suspectReset()
		return false, m.certain()
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

// saveSession saves a session, and before that the one that was saved longest ago, if the gap between them grows too wide. One that the chip refuses to
// save is lost, but not left behind.
func (m *Manager) saveSession(s *session) error {
	if err := m.storeSession(s); err != nil {
		return err
	}
	if oldest := m.oldestSaved(); oldest != nil && m.sessionSaves-oldest.savedAt > gapMargin {
		_, err := m.refresh(oldest)
		return err
	}
	return nil
}

func (m *Manager) storeSession(s *session) error {
	s.moving = true
	context, rc, err := m.save(s.handle)
	for err == nil && rc == tpm2.TPMRCContextGap {
		var closed bool
		if closed, err = m.closeGap(); err != nil || !closed {
			break
		}
		context, rc, err = m.save(s.handle)
	}
	if s.moving = err != nil; err != nil {
		return err
	}
	m.sessionSaves++
	if s.loaded, s.context, s.savedAt = false, context, m.sessionSaves; context == nil {
		m.flush(s.stray())
	}
	return nil
}

// oldestSaved is the session that was saved longest ago.
func (m *Manager) oldestSaved() *session {
	var oldest *session
	for _, s := range m.sessions {
		if s.context != nil && (oldest == nil || s.savedAt < oldest.savedAt) {
			oldest = s
		}
	}
	return oldest
}

// refresh loads a saved session and saves it again, which makes it the newest.
func (m *Manager) refresh(s *session) (bool, error) {
	s.moving = true
	_, rc, err := m.loadOnce(s.context)
	s.moving = err != nil
	if err != nil || rc != 0 {
		return false, err
	}
	s.loaded, s.context = true, nil
	return true, m.storeSession(s)
}

// closeGap is for a chip that saves no session because another one was saved too long ago: ours is saved anew, and where there is no room to load it, it is
// given up, so that the others live. It reports false when it was none of ours.
func (m *Manager) closeGap() (bool, error) {
	oldest := m.oldestSaved()
	if oldest == nil {
		return false, nil
	}
	if done, err := m.refresh(oldest); done || err != nil {
		return done, err
	}
	m.endSession(oldest)
	oldest.context = nil
	return true, nil
}
