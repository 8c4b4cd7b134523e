package rm

// AtRest tells whether nothing would be lost if the manager were closed now and another one made with what Remember was told last: no failed authorization is held
// against anybody, nobody's allowance for making keys is used, no session waits for the client that has saved its context, and the chip is given back. It does not wait
// for a chip that is busy: that is no rest.
func (m *Manager) AtRest() bool {
	late := make(chan struct{})
	close(late)
	if m.isClosed() || !m.turns.take(root, late, m.closed) {
		return false
	}
	defer m.turns.give()
	now := m.now()
	m.memory.forget(now)
	m.forgetAllowances(now)
	everybody := m.memory.Everybody
	held := len(m.memory.Principals) + len(m.memory.Keys) + len(m.memory.Hierarchies) + len(m.memory.Lockout) + len(m.allowances) + len(m.sessions) + len(m.held)
	return held == 0 && everybody.at(now, &hierarchyBrake) <= 0 && !m.doubtful && len(m.strays) == 0
}
