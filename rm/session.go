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

// Limits of authorization sessions, which all of a chip's clients share: every PC Client TPM has 64 (PTP 1.05, 4.4).
const (
	maxParked            = 4       // of one principal, saved and waiting to be loaded again
	unprivilegedSessions = 64 - 16 // of all but root, for whom and for the kernel the rest is kept
)

// gapMargin is how many sessions may be saved after one before that one is saved anew: the chip allows 2^16 - 1 at most, others save sessions too, and
// when it is too late nobody can save any more.
const gapMargin = 1 << 14

const mostGapTries = 3 // in one turn

// Loaded sessions that we keep on a shared chip: every PC Client TPM has at least three, and one is left to the others.
const sharedSessions = 3 - 1

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

// sessionQuota is why a client may not start another session, or 0. When those of all unprivileged principals together run short, the one that holds the
// most gives one up.
func (s *Space) sessionQuota() tpm2.TPMRC {
	m := s.manager
	switch {
	case len(s.sessions) >= s.limits.Sessions:
		return rcSessionQuota
	case s.isRoot():
		return 0
	case m.sessionsOf(s.principal) >= s.limits.PrincipalSessions && !m.endParked(s.principal):
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
	for _, parked := range s.manager.parkedOf(s.principal) {
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

// leaveSessionRoom saves sessions until one more fits beside the others of a shared chip. Where none may be saved, the code says so.
func (m *Manager) leaveSessionRoom(keep holding) (tpm2.TPMRC, error) {
	for m.config.Sharing == Shared && len(m.loadedSessions()) >= sharedSessions {
		if may, err := m.maySave(); err != nil || !may {
			return rcSessionQuota, err
		}
		oldest := m.oldestLoaded(keep)
		if oldest == nil {
			return 0, nil // a single command needs them all
		}
		if saved, err := m.saveSession(oldest); err != nil || !saved {
			return rcSessionQuota, err
		}
	}
	return 0, nil
}

// oldestLoaded is the loaded session that was used longest ago, of those that need not stay.
func (m *Manager) oldestLoaded(keep holding) *session {
	var oldest *session
	for _, s := range m.loadedSessions() {
		if !slices.Contains(keep.sessions, s) && (oldest == nil || s.used < oldest.used) {
			oldest = s
		}
	}
	return oldest
}

// saveOneSession makes room for another session. It reports false when all that are loaded must stay.
func (m *Manager) saveOneSession(keep holding) (bool, error) {
	oldest := m.oldestLoaded(keep)
	if oldest == nil {
		return false, nil
	}
	return m.saveSession(oldest)
}

// saveSession saves a session if it may, and then the one that was saved longest ago, if the gap between them grows too wide. It reports false for one that
// stays loaded.
func (m *Manager) saveSession(s *session) (bool, error) {
	if may, err := m.maySave(); err != nil || !may {
		return false, err
	}
	if saved, err := m.storeSession(s); err != nil || !saved {
		return false, err
	}
	if oldest := m.oldestSaved(); oldest != nil && m.sessionSaves-oldest.savedAt > gapMargin {
		_, err := m.refresh(oldest)
		return true, err
	}
	return true, nil
}

// storeSession is the save itself. A session that is not saved because of the gap, or not now, stays loaded; one that the chip refuses for another reason is lost, but not
// left behind.
func (m *Manager) storeSession(s *session) (bool, error) {
	s.moving = true
	context, rc, err := m.save(s.handle)
	for err == nil && rc == tpm2.TPMRCContextGap {
		var closed bool
		if closed, err = m.closeGap(); err != nil || !closed {
			break
		}
		context, rc, err = m.save(s.handle)
	}
	if s.moving = err != nil; err != nil || rc == tpm2.TPMRCContextGap || isWarning(rc) {
		return false, err
	}
	m.sessionSaves++
	if s.loaded, s.context, s.savedAt = false, context, m.sessionSaves; context == nil {
		m.flush(s.stray())
	}
	return true, nil
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

// refresh loads a saved session and saves it again, which makes it the newest. It reports false when it cannot be loaded.
func (m *Manager) refresh(s *session) (bool, error) {
	s.moving = true
	_, rc, err := m.loadOnce(s.context)
	s.moving = err != nil
	if err != nil || rc != 0 {
		return isPassing(rc), err
	}
	s.loaded, s.context = true, nil
	_, err = m.storeSession(s)
	return true, err
}

// closeGap is for a chip that saves no session because another one was saved too long ago: ours is saved anew, and where there is no room to load it, it is
// given up, so that the others live. It reports false when it was none of ours, or has been tried often enough in this turn.
func (m *Manager) closeGap() (bool, error) {
	oldest := m.oldestSaved()
	if m.gapTries++; oldest == nil || m.gapTries > mostGapTries {
		return false, nil
	}
	if done, err := m.refresh(oldest); done || err != nil {
		return done, err
	}
	if m.gapTries > 1 {
		return false, nil // one is enough to give up
	}
	m.endSession(oldest)
	oldest.context = nil
	return true, nil
}
