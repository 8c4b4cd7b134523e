package rm

import (
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// Making a key takes a chip up to ten seconds, in which nobody else is served. A principal may make keys for half a minute of chip time, and from then on for
// a quarter of the time: whoever has used his allowance up waits before his turn, not in it (U10). Root is not bound.

const (
	makingBurst = 30 * time.Second
	makingShare = 4 // one part of so many
)

// makesKeys are the commands that the allowance is for.
var makesKeys = map[tpm2.TPMCC]bool{tpm2.TPMCCCreate: true, tpm2.TPMCCCreatePrimary: true, tpm2.TPMCCCreateLoaded: true}

// An allowance is chip time that a principal may spend on making keys.
type allowance struct {
	left time.Duration // at the time; below zero: a debt
	at   time.Time
}

func (a allowance) refilled(now time.Time) allowance {
	return allowance{min(makingBurst, a.left+now.Sub(a.at)/makingShare), now}
}

// makingPause is how long a command that makes a key must wait. One that is answered from memory makes none.
func (s *Space) makingPause(c *wire.Command, now time.Time) time.Duration {
	m := s.manager
	a, spent := m.allowances[s.principal]
	if !spent || !makesKeys[c.Code] || s.isRoot() || m.primaries[s.primaryKey(c)] != nil {
		return 0
	}
	return max(0, -a.refilled(now).left*makingShare)
}

// spend charges chip time to a principal's allowance.
func (m *Manager) spend(principal uint32, took time.Duration, now time.Time) {
	if len(m.allowances) >= maxRemembered {
		m.forgetAllowances(now)
	}
	a, spent := m.allowances[principal]
	if !spent {
		a = allowance{makingBurst, now}
	}
	a = a.refilled(now)
	a.left -= took
	m.allowances[principal] = a
}

// forgetAllowances drops those that are whole again.
func (m *Manager) forgetAllowances(now time.Time) {
	for principal, a := range m.allowances {
		if a.refilled(now).left == makingBurst {
			delete(m.allowances, principal)
		}
	}
}
