package rm

import "slices"

// A chip saves no session at all once the oldest saved one, whosever it is, is 2^16 - 1 saves old (TPM_RC_CONTEXT_GAP; Part 1, 30.5). Ours are saved anew in
// time (gapMargin). Of the sessions that others have saved on a shared chip we have no context, so we count how many of our own saves each of them has seen.
// When one has seen too many, we save no session any more until it is gone: those that are loaded stay so, within our share, and whoever needs one more hears
// rcSessionQuota. That the same handle may be a newer session, or one that was saved anew meanwhile, cannot be seen; then we stop too early.
const (
	lookEvery       = 1 << 12 // own saves
	neighbourMargin = 1 << 15 // own saves that a foreign session may see, after those before it was seen first
)

// maySave tells whether saving a session would not bring a foreign one near the gap.
func (m *Manager) maySave() (bool, error) {
	if m.config.Sharing != Shared || m.sessionSaves-m.looked < lookEvery && !m.crowds() {
		return true, nil
	}
	saved, err := m.handles(savedSessions)
	if err != nil {
		return m.broken == nil, m.broken // a chip that does not tell has other cares
	}
	m.looked = m.sessionSaves
	m.noteNeighbours(saved)
	return !m.crowds(), nil
}

// crowds tells whether a foreign session has seen too many of our saves.
func (m *Manager) crowds() bool {
	for _, since := range m.neighbours {
		if m.sessionSaves-since >= neighbourMargin {
			return true
		}
	}
	return false
}

// noteNeighbours remembers since when each foreign session is there.
func (m *Manager) noteNeighbours(saved []uint32) {
	before := m.neighbours
	m.neighbours = map[uint32]uint64{}
	for _, handle := range saved {
		if slices.ContainsFunc(m.sessions, func(s *session) bool { return s.handle == handle && s.context != nil }) {
			continue
		}
		since, known := before[handle]
		if !known {
			since = m.sessionSaves
		}
		m.neighbours[handle] = since
	}
}
