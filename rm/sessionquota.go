package rm

import (
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// Limits of authorization sessions, which all of a chip's clients share: every PC Client TPM has 64 (PTP 1.05, 4.4).
const (
	maxParked            = 4       // of one principal, saved and waiting to be loaded again
	unprivilegedSessions = 64 - 16 // of all but root, for whom and for the kernel the rest is kept
)

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
