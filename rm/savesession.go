package rm

import (
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// gapMargin is how many sessions may be saved after one before that one is saved anew: the chip allows 2^16 - 1 at most, others save sessions too, and
// when it is too late nobody can save any more.
const gapMargin = 1 << 14

const mostGapTries = 3 // in one turn

// Loaded sessions that we keep on a shared chip: every PC Client TPM has at least three, and one is left to the others.
const sharedSessions = 3 - 1

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
