package rm

import (
	"bytes"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

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

// remember has something looked for once the chip can be asked again.
func (m *Manager) remember(s stray) {
	m.doubtful = true
	known := func(other stray) bool { return other.handle == s.handle && bytes.Equal(other.name, s.name) }
	if m.config.Sharing == Shared && !(s.handle != 0 && slices.ContainsFunc(m.strays, known)) {
		m.strays = append(m.strays, s)
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

// reclaim takes off a full chip what nobody holds, where all is ours: a client of before has gone without a word. What a command names is held by it alone.
func (m *Manager) reclaim(keep holding) error {
	there, err := m.look()
	if err != nil {
		return err
	}
	m.slots = 0 // what was learnt of them counted things that go now
	var kept []uint32
	for _, o := range keep.objects {
		kept = append(kept, o.phandle)
	}
	for _, s := range keep.sessions {
		kept = append(kept, s.handle)
	}
	for _, handle := range m.unheld(slices.Concat(there.objects, there.loaded, there.saved), kept) {
		m.flush(stray{handle: handle})
	}
	return nil
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
