package rm

import (
	"maps"
	"time"
)

// Memory is what brakes and the lockout budget know of the past. Whoever runs a manager can save it, and give it to the next one.
type Memory struct {
	Principals  map[uint32]*Brake    // failed authorizations of objects
	Keys        map[string]*Brake    // by SHA-256 of the public area, in hex
	Hierarchies map[uint32]*Brake    // of principals
	Everybody   Brake                // on hierarchies
	Lockout     map[uint32]time.Time // until when a principal may not use what the chip counts failures of
}

// lockoutPenalty is for how long a principal does without DA-protected objects after a failure that the chip has counted (U6).
const lockoutPenalty = 24 * time.Hour

const maxRemembered = 4096 // of each kind

// restored is a memory that was saved, with what it lacks, and with nothing in it from a clock that was wrong.
func (old Memory) restored(now time.Time) Memory {
	m := Memory{map[uint32]*Brake{}, map[string]*Brake{}, map[uint32]*Brake{}, old.Everybody.restored(now), map[uint32]time.Time{}}
	restoreBrakes(m.Principals, old.Principals, now)
	restoreBrakes(m.Keys, old.Keys, now)
	restoreBrakes(m.Hierarchies, old.Hierarchies, now)
	for principal, until := range old.Lockout {
		m.Lockout[principal] = earlier(until, now.Add(lockoutPenalty))
	}
	m.forget(now)
	return m
}

func restoreBrakes[K comparable](to, from map[K]*Brake, now time.Time) {
	for k, b := range from {
		if b != nil {
			r := b.restored(now)
			to[k] = &r
		}
	}
}

func (b Brake) restored(now time.Time) Brake { return Brake{max(0, b.Failures), earlier(b.Last, now)} }

func earlier(a, b time.Time) time.Time {
	if a.After(b) {
		return b
	}
	return a
}

// forget drops what is of no account any more.
func (m *Memory) forget(now time.Time) {
	forgetBrakes(m.Principals, &principalBrake, now)
	forgetBrakes(m.Keys, &keyBrake, now)
	forgetBrakes(m.Hierarchies, &hierarchyBrake, now)
	maps.DeleteFunc(m.Lockout, func(_ uint32, until time.Time) bool { return !now.Before(until) })
}

// forgetBrakes drops brakes that have no failure left, and, when they are too many all the same, those with the fewest.
func forgetBrakes[K comparable](brakes map[K]*Brake, r *brakeRule, now time.Time) {
	for few := 0.0; few == 0 || len(brakes) > maxRemembered; few++ {
		maps.DeleteFunc(brakes, func(_ K, b *Brake) bool { return b.at(now, r) <= few })
	}
}

// keepMemory tells whoever runs the manager that the memory has changed.
func (m *Manager) keepMemory(now time.Time) {
	m.memory.forget(now)
	if m.config.Remember != nil {
		m.config.Remember(m.memory)
	}
}
