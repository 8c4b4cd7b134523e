package rm

import (
	"bytes"
	"errors"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// After a failure nobody knows what the chip did: it may have run the command whose answer was lost, or been reset. The next turn opens it anew and settles
// that before anything else: what is still there stays loaded, what is not is loaded again when it is named, and what nobody holds is flushed.
//
// On a chip that is ours alone whatever nobody holds is ours. Beside others only that is flushed which can be shown to be ours:
//   - an object that we know by its handle, when its Name is right (TPM2_ReadPublic), and one that a command was making, by its Name;
//   - one whose Name only the lost answer would have told, and a session: when it is the only one that was not there right before the command;
//   - a session by its handle; one that was saved, when its context can still be loaded.
//
// After a reset (TPM2_ReadClock) nothing is ours. The clock is read before each session and each primary that is made, not for what was saved before a pause:
// that would make each signature after one dearer.
//
// Where two things could be meant, neither is flushed: a slot too few until the next restart is better than somebody else's key lost.
// A reset that no failure tells of is noticed when the chip does not know a handle, at the latest when everything was given back and is loaded again.
// Above the kernel's manager nothing is left to settle: it flushes all when its device is closed.

// An inventory is what is on the chip, anybody's.
type inventory struct {
	objects, loaded, saved []uint32
	reset                  bool // nothing of it is ours
}

// begin starts a turn. A chip that cannot be asked is a matter for those who need it.
func (m *Manager) begin() {
	m.idle.Stop()
	m.broken, m.making, m.gapTries, m.shed, m.waited = nil, nil, 0, false, 0
	m.certain()
}

// certain makes sure that what we believe to be on the chip is there. What was prepared before may have to be prepared again, which settled tells.
func (m *Manager) certain() error {
	if !m.doubtful {
		return nil
	}
	if err := m.ready(); err != nil {
		return err
	}
	m.settled++
	return m.settle()
}

// fail gives a broken connection up. Nothing more is sent in this turn: what was prepared in it may not be there any more.
func (m *Manager) fail(cause error) error {
	m.closeChip()
	m.broken, m.doubtful = cause, true
	if m.making != nil {
		m.remember(*m.making)
		m.making = nil
	}
	m.forgetPersistents()
	return cause
}

// suspectReset is for a chip that does not know a handle of ours: beside others, who may have our other handles by now, all of them are looked at.
func (m *Manager) suspectReset() {
	m.doubtful = m.doubtful || m.config.Sharing == Shared
}

// settle compares what we believe to be on the chip with what is there. A chip that does not tell, because nobody has started it yet, is asked again.
func (m *Manager) settle() error {
	m.doubtful = false
	strays := m.strays
	m.strays = nil
	there, err := m.look()
	if err == nil {
		m.keepObjects(there.objects)
		m.keepSessions(there)
		m.flushStrays(strays, there)
	}
	if m.broken != nil || err != nil {
		for _, s := range strays {
			m.remember(s)
		}
		m.doubtful = true
	}
	return m.broken
}

func (m *Manager) look() (there inventory, err error) {
	if m.config.Sharing == Stacked {
		return there, nil
	}
	if there.objects, err = m.handles(tpm2.TPMHTTransient); err != nil {
		return there, err
	}
	if there.loaded, err = m.handles(loadedSessions); err != nil {
		return there, err
	}
	if there.saved, err = m.handles(savedSessions); err != nil {
		return there, err
	}
	if _, err := m.sameLife(); err != nil || m.reborn {
		m.reborn = m.reborn && err != nil
		return inventory{reset: true}, err // whatever has our handles now is not ours
	}
	return there, nil
}

// What the kinds of session handles mean in TPM2_GetCapability (Part 2, 7.2).
const (
	loadedSessions = tpm2.TPMHTHMACSession
	savedSessions  = tpm2.TPMHTPolicySession
)

// handles lists what the chip has of a kind.
func (m *Manager) handles(kind tpm2.TPMHT) ([]uint32, error) {
	list, _, err := m.getCapability(tpm2.TPMCapHandles, uint32(kind)<<24, maxCapabilities)
	if err != nil {
		return nil, err
	}
	var handles []uint32
	c := wire.NewCursor(list)
	for n := c.Uint32(); n > 0 && !c.Failed(); n-- {
		handles = append(handles, c.Uint32())
	}
	if !c.Done() {
		return nil, m.fail(errors.New("the TPM's list of handles is cut short"))
	}
	return handles, nil
}

// sameLife tells whether a chip that others use too has been neither reset nor resumed since its life was read.
func (m *Manager) sameLife() (bool, error) {
	if m.config.Sharing != Shared {
		return true, nil
	}
	life, err := m.readLife()
	if err != nil {
		return false, err
	}
	same := m.life == nil || bytes.Equal(life, m.life)
	m.life, m.reborn = life, m.reborn || !same
	return same, nil
}

// readLife reads the reset and restart counts with TPM2_ReadClock (Part 3, 29.1; TPMS_TIME_INFO, Part 2, 10.11.6); nil when the chip does not tell them.
func (m *Manager) readLife() ([]byte, error) {
	response, rc, err := m.exchange(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCReadClock)).Bytes())
	if err != nil || rc != 0 {
		return nil, err
	}
	c := wire.NewCursor(response[wire.HeaderSize:])
	c.Take(8 + 8) // time and clock
	return bytes.Clone(c.Take(4 + 4)), nil
}

// keepObjects keeps what is still on the chip. The rest is loaded again when it is named.
func (m *Manager) keepObjects(there []uint32) {
	m.objects = slices.DeleteFunc(m.objects, func(o *object) bool {
		gone := !slices.Contains(there, o.phandle) || m.config.Sharing == Shared && !m.isAt(o.phandle, o.stray())
		if gone && m.broken == nil {
			o.phandle = 0
		}
		return gone && m.broken == nil
	})
}

// keepSessions finds out which sessions are loaded and which are saved. One whose saved context is lost is of no use to anybody.
func (m *Manager) keepSessions(there inventory) {
	for _, s := range m.sessions {
		if s.isLost() && !s.moving {
			continue
		}
		s.loaded = (s.loaded || s.moving) && slices.Contains(there.loaded, s.handle)
		s.moving, s.old = false, s.old || there.reset
		switch {
		case s.loaded:
			s.context = nil
		case s.context == nil && slices.Contains(there.saved, s.handle):
			m.flush(stray{handle: s.handle})
		}
	}
}
