package rm

import (
	"bytes"
	"errors"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
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

// A stray is what a failure may have left on the chip.
type stray struct {
	handle  uint32        // 0: its answer was lost
	name    []byte        // of an object; nil: not known
	info    filter.Object // of an object
	context []byte        // of a session that was saved
	moving  bool          // a session that may have been saved, its context lost
	old     bool          // a session that was saved before a reset
	kind    tpm2.TPMHT    // of a session whose answer was lost
	before  []uint32      // what was there right before
}

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

// remember has something looked for once the chip can be asked again.
func (m *Manager) remember(s stray) {
	m.doubtful = true
	known := func(other stray) bool { return other.handle == s.handle && bytes.Equal(other.name, s.name) }
	if m.config.Sharing == Shared && !(s.handle != 0 && slices.ContainsFunc(m.strays, known)) {
		m.strays = append(m.strays, s)
	}
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

func (o *object) stray() stray { return stray{handle: o.phandle, name: o.name, info: o.info} }

func (s *session) stray() stray {
	return stray{handle: s.handle, context: s.context, moving: s.moving, old: s.old}
}

// flushStrays takes off the chip what nobody holds.
func (m *Manager) flushStrays(strays []stray, there inventory) {
	switch m.config.Sharing {
	case Alone:
		for _, handle := range m.unheld(slices.Concat(there.objects, there.loaded, there.saved), nil) {
			m.flush(stray{handle: handle})
		}
	case Shared:
		for _, s := range strays {
			if found := m.candidates(s, there); len(found) == 1 {
				s.handle = found[0]
				m.flush(s)
			}
		}
		for _, s := range strays { // last, because each needs room
			s.old = s.old || there.reset
			m.flushSaved(s)
		}
	}
}

// flushSaved ends a session that was saved, if it is there. By its handle alone it would end somebody else's, should the chip have been reset.
func (m *Manager) flushSaved(s stray) {
	if s.context == nil {
		return
	}
	handle, rc, err := m.load(s.context, holding{})
	switch {
	case err != nil || isWarning(rc):
		m.remember(s)
	case rc == 0:
		m.flush(stray{handle: handle})
	case !s.old: // the context is damaged
		m.remember(stray{handle: s.handle, moving: true})
	}
}

// candidates are the handles under which a stray may be.
func (m *Manager) candidates(s stray, there inventory) []uint32 {
	if s.kind != 0 || wire.IsAuthSession(s.handle) {
		sessions := there.loaded
		if s.moving {
			sessions = slices.Concat(there.loaded, there.saved)
		}
		return slices.DeleteFunc(m.unheld(sessions, s.before), func(handle uint32) bool {
			return s.handle != 0 && handle != s.handle || s.kind != 0 && wire.HandleType(handle) != s.kind
		})
	}
	if s.handle != 0 {
		return slices.DeleteFunc(m.unheld(there.objects, nil), func(handle uint32) bool { return handle != s.handle || !m.isAt(handle, s) })
	}
	return slices.DeleteFunc(m.unheld(there.objects, slices.Concat(s.before, m.others)), func(handle uint32) bool { return !m.isAt(handle, s) })
}

// unheld are the handles that neither a client nor the manager holds, and that were not there before.
func (m *Manager) unheld(handles, before []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(handles), func(handle uint32) bool {
		return slices.Contains(before, handle) ||
			slices.ContainsFunc(m.objects, func(o *object) bool { return o.phandle == handle }) ||
			slices.ContainsFunc(m.sessions, func(s *session) bool { return s.handle == handle && !s.isLost() })
	})
}

// isAt asks the chip whether the object at a handle is the one that is meant.
func (m *Manager) isAt(handle uint32, s stray) bool {
	response, rc, err := m.exchange(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCReadPublic)).Uint32(handle).Bytes())
	if err != nil || rc != 0 {
		return rc == tpm2.TPMRCSequence && s.info.Sequence
	}
	c := wire.NewCursor(response[wire.HeaderSize:])
	area, name := c.Sized(), c.Sized()
	if s.name != nil {
		return bytes.Equal(name, s.name)
	}
	public, ok := wire.ParsePublic(area)
	return ok && filter.ObjectOf(&public) == s.info
}

// expect notes what a command is about to make, in case that its answer is lost. Beside others it looks what is there before, where the command itself does
// not tell the Name.
func (s *Space) expect(c *wire.Command) (err error) {
	m := s.manager
	if !c.Shape.HandleOut() || m.config.Sharing != Shared {
		return nil
	}
	making := stray{info: madeBy(c), name: nameFrom(c)}
	if making.name != nil {
		m.making = &making
		return nil
	}
	if c.Code == tpm2.TPMCCStartAuthSession {
		making.kind = sessionKind(c)
		making.before, err = m.handles(loadedSessions)
	} else {
		making.before, err = m.handles(tpm2.TPMHTTransient)
		m.others = m.unheld(making.before, nil)
	}
	if err != nil {
		return err
	}
	same, err := m.sameLife()
	if err == nil && !same {
		m.suspectReset()
		return m.certain()
	}
	m.making = &making
	return err
}

// sessionKind is the type of the handle that TPM2_StartAuthSession gives: HMAC, or policy and trial (Part 1, 15.4).
func sessionKind(c *wire.Command) tpm2.TPMHT {
	if bytes.Equal(c.Param("sessionType"), []byte{byte(tpm2.TPMSEHMAC)}) {
		return tpm2.TPMHTHMACSession
	}
	return tpm2.TPMHTPolicySession
}

// madeBy is what is known of an object from the command that makes it.
func madeBy(c *wire.Command) filter.Object {
	if startsSequence[c.Code] {
		return filter.Object{Sequence: true}
	}
	p, _ := wire.ParseSizedPublic(c.Param("inPublic"))
	return filter.ObjectOf(&p)
}

// nameFrom is the Name of the object that a command loads, nil where only the answer tells it.
func nameFrom(c *wire.Command) []byte {
	if area := c.Param("inPublic"); len(area) > 2 && (c.Code == tpm2.TPMCCLoad || c.Code == tpm2.TPMCCLoadExternal) {
		return nameOf(area[2:])
	}
	return nil
}

// nameOf computes the Name of a public area (Part 1, 16): its nameAlg and the hash; nil for a hash that is not known here.
func nameOf(area []byte) []byte {
	c := wire.NewCursor(area)
	c.Alg()
	alg := c.Alg()
	h, ok := hashes[alg]
	if !ok {
		return nil
	}
	digest := h.New()
	digest.Write(area)
	return digest.Sum([]byte{byte(alg >> 8), byte(alg)})
}
