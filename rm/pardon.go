package rm

import (
	"maps"
	"slices"
)

// Pardon lets those use DA-protected objects again who are refused them for a day after a failure that the chip has counted (U6), and names them. It is an
// administrator's word.
//
// It gives nobody a guess that the chip would not: the chip's counter stays what it is, and is asked as before, so that each who was pardoned fails once at most,
// while the budget lasts, and is refused again. Whoever wants to guess on needs another word.
//
// That the chip's counter is back at 0 is no such word. The chip takes a failure back every few minutes by itself: whoever waits for that would have a guess in
// each of its intervals, a hundred a day instead of one, and with each he would use up the budget of everybody else. And an administrator who resets the counter
// once it has healed leaves no trace to be seen by.
func (m *Manager) Pardon() (principals []uint32) {
	if !m.turns.take(root, m.closed, nil) {
		return nil
	}
	defer m.turns.give()
	now := m.now()
	m.memory.forget(now)
	principals = slices.Sorted(maps.Keys(m.memory.Lockout))
	clear(m.memory.Lockout)
	if len(principals) > 0 {
		m.keepMemory(now)
	}
	return principals
}
