package rm

import (
	"errors"
	"fmt"
)

// mostLocality is the highest that a command can come from (TPMA_LOCALITY, Part 2, 8.5): extended localities come from no transport of ours.
const mostLocality = 4

// located is a chip whose transport carries localities: what it is sent comes from the one that was set last.
type located interface {
	SetLocality(locality uint8) error
}

// mayComeFrom tells whether commands can be sent from a locality.
func (c Config) mayComeFrom(locality uint8) error {
	switch {
	case locality > mostLocality:
		return fmt.Errorf("locality %d: there are 0 to %d", locality, mostLocality)
	case locality > 0 && !c.Localities:
		return fmt.Errorf("locality %d: nothing but 0 reaches this chip; the kernel offers no other, and of an emulator its control channel must be named: ctrl=PATH", locality)
	}
	return nil
}

// comeFrom has the next commands come from a locality. The manager's own may come from any: nothing that they ask for depends on it. What does depend on it is the
// data of a new key's creation, which an answer without the chip repeats, and policies and PCRs, of which the chip is asked.
func (m *Manager) comeFrom(locality uint8) error {
	if !m.config.Localities || m.localityKnown && m.locality == locality {
		return nil
	}
	if err := m.ready(); err != nil {
		return err
	}
	chip, ok := m.chip.(located)
	if !ok {
		return m.fail(errors.New("the chip was to be told its locality, and cannot be"))
	}
	if err := chip.SetLocality(locality); err != nil {
		return m.fail(err)
	}
	m.locality, m.localityKnown = locality, true
	return nil
}

// goHome leaves the chip at locality 0 to whoever comes next.
func (m *Manager) goHome() error {
	if !m.localityKnown || m.locality == 0 || m.chip == nil {
		return nil
	}
	return m.comeFrom(0)
}
