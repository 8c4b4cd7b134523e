package rm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// onChip runs a command on the chip: prepare, send, commit.
func (s *Space) onChip(c *wire.Command) ([]byte, error) {
	s.manager.commandsRun++
	keep := s.named(c)
	for {
		physical, rc, err := s.prepareForGood(c, keep)
		if err != nil || rc != 0 {
			return wire.ErrorResponse(rc), err
		}
		if err := s.manager.comeFrom(s.options.Locality); err != nil {
			return nil, err
		}
		response, rc, err := s.sendCharged(c, physical, keep)
		if err == nil && s.missed(c, rc) {
			if err := s.manager.certain(); err != nil {
				return nil, err
			}
			continue
		}
		if err == nil {
			response, err = s.conclude(c, rc, response)
		}
		if err != nil {
			s.doubt(c, keep)
			return nil, err
		}
		s.manager.done = rc == 0
		s.manager.leaveShare() // a failure is found by the next command: this one has succeeded
		return response, nil
	}
}

// prepareForGood prepares a command, and once more where what the chip is believed to hold was looked over meanwhile (Manager.certain).
func (s *Space) prepareForGood(c *wire.Command, keep holding) (physical []byte, rc tpm2.TPMRC, err error) {
	for {
		settled := s.manager.settled
		physical, rc, err = s.prepare(c, keep)
		if err == nil && rc == 0 {
			err = s.expect(c)
		}
		if err != nil || settled == s.manager.settled {
			return physical, rc, err
		}
	}
}

// sendCharged sends a prepared command. The time that it takes to make keys is the principal's.
func (s *Space) sendCharged(c *wire.Command, physical []byte, keep holding) ([]byte, tpm2.TPMRC, error) {
	start := s.manager.now()
	response, rc, err := s.manager.sendMakingRoom(physical, keep)
	if makesKeys[c.Code] && !s.isRoot() {
		now := s.manager.now()
		s.manager.spend(s.principal, now.Sub(start), now)
	}
	return response, rc, err
}

// conclude is for a command that the chip has answered.
func (s *Space) conclude(c *wire.Command, rc tpm2.TPMRC, response []byte) ([]byte, error) {
	s.manager.noteOutcome(c, s, rc)
	if rc != 0 {
		return response, nil
	}
	return s.commit(c, response)
}

// doubt is for a command whose answer was lost. Its sessions are ended: whether their nonces have changed is not known, and a wrong HMAC can count. What
// it would have changed counts as changed.
func (s *Space) doubt(c *wire.Command, keep holding) {
	for _, lost := range keep.sessions {
		s.manager.endSession(lost)
		lost.loaded, lost.context = false, nil
	}
	if changes := hierarchyChanges[c.Code]; changes != nil {
		changes(s.manager)
	}
}

// missed tells whether a code says that the chip does not have an object that was put on it. The object counts as loaded no more, so that the next try
// brings it again.
func (s *Space) missed(c *wire.Command, rc tpm2.TPMRC) bool {
	if i := int(rc) - int(rcReferenceS0); i >= 0 && i < len(c.Auths()) {
		s.loseSession(c.Auths()[i].Session)
	}
	i := int(rc) - int(rcReferenceH0)
	if i < 0 || i >= c.Shape.Handles {
		return false
	}
	s.loseSession(c.Handle(i))
	o := s.objects[c.Handle(i)]
	return o != nil && s.manager.miss(o)
}

// loseSession notes that a session is not on the chip, although it was put there: nobody can make it again.
func (s *Space) loseSession(handle uint32) {
	if lost := s.sessions[handle]; lost != nil {
		lost.loaded = false
		s.manager.suspectReset()
	}
}

// prepare puts all that a command names on the chip, and gives the command with the chip's handles in it.
func (s *Space) prepare(c *wire.Command, keep holding) ([]byte, tpm2.TPMRC, error) {
	physical := bytes.Clone(c.Bytes)
	for i := range c.Shape.Handles {
		if rc, err := s.prepareHandle(c, i, keep, physical); err != nil || rc != 0 {
			return nil, rc, err
		}
	}
	for i, a := range c.Auths() {
		if rc, err := s.prepareSession(a.Session, keep, rcReferenceS0+tpm2.TPMRC(i)); err != nil || rc != 0 {
			return nil, rc, err
		}
	}
	if c.Code == tpm2.TPMCCStartAuthSession {
		rc, err := s.manager.leaveSessionRoom(keep)
		return physical, rc, err
	}
	return physical, 0, s.manager.leaveRoom(keep)
}

func (s *Space) prepareHandle(c *wire.Command, i int, keep holding, physical []byte) (tpm2.TPMRC, error) {
	if wire.IsAuthSession(c.Handle(i)) {
		return s.prepareSession(c.Handle(i), keep, rcReferenceH0+tpm2.TPMRC(i))
	}
	o := s.objects[c.Handle(i)]
	if o == nil {
		return 0, nil
	}
	rc, err := s.manager.bring(o, keep)
	if rc == rcReferenceH0 {
		rc += tpm2.TPMRC(i)
	}
	if err == nil && rc == 0 {
		wire.SetHandle(physical, i, o.phandle)
	}
	return rc, err
}

// prepareSession puts a session on the chip. lost is what is answered for one that is not there any more.
func (s *Space) prepareSession(handle uint32, keep holding, lost tpm2.TPMRC) (tpm2.TPMRC, error) {
	authSession := s.sessions[handle]
	if authSession == nil {
		return 0, nil // a password; other callers' sessions do not pass the filter
	}
	rc, err := s.manager.bringSession(authSession, keep)
	if rc == rcReferenceS0 {
		rc = lost
	}
	return rc, err
}

// named is what a command names, and how many slots it takes besides.
func (s *Space) named(c *wire.Command) holding {
	keep := holding{slots: hiddenSlots(c)}
	for i := range c.Shape.Handles {
		if o := s.objects[c.Handle(i)]; o != nil {
			keep.objects = append(keep.objects, o)
		}
		if authSession := s.sessions[c.Handle(i)]; authSession != nil {
			keep.sessions = append(keep.sessions, authSession)
		}
	}
	for _, a := range c.Auths() {
		if authSession := s.sessions[a.Session]; authSession != nil {
			keep.sessions = append(keep.sessions, authSession)
		}
	}
	return keep
}

// commit notes what a successful command changed and gives the client its own handles.
func (s *Space) commit(c *wire.Command, response []byte) ([]byte, error) {
	if err := c.CheckAnswer(response); err != nil {
		return nil, s.manager.fail(err)
	}
	for _, a := range c.Auths() {
		if authSession := s.sessions[a.Session]; authSession != nil && a.Attributes&wire.ContinueSession == 0 {
			s.manager.forgetSession(authSession)
			delete(s.sessions, a.Session)
		}
	}
	if c.Shape.Flushes() {
		s.dropFlushed(c.Handle(c.Shape.Handles - 1))
	}
	if changes := hierarchyChanges[c.Code]; changes != nil {
		changes(s.manager)
	}
	if !c.Shape.HandleOut() {
		return response, nil
	}
	cursor := wire.NewCursor(response[handleOffset:])
	return s.admit(c, cursor.Uint32(), response), nil
}

// dropFlushed forgets an object that a command has ended.
func (s *Space) dropFlushed(handle uint32) {
	if o := s.objects[handle]; o != nil {
		delete(s.objects, handle)
		s.countDown(1)
		s.manager.forget(o)
	}
}

// hierarchyChanges are the commands after which persistent objects, or the primaries that are remembered, may be others.
var hierarchyChanges = map[tpm2.TPMCC]func(*Manager){
	tpm2.TPMCCEvictControl:        (*Manager).forgetPersistents,
	tpm2.TPMCCClear:               (*Manager).forgetHierarchies,
	tpm2.TPMCCChangePPS:           (*Manager).forgetHierarchies,
	tpm2.TPMCCChangeEPS:           (*Manager).forgetHierarchies,
	tpm2.TPMCCHierarchyControl:    (*Manager).forgetHierarchies,
	tpm2.TPMCCHierarchyChanegAuth: (*Manager).forgetHierarchies,
	tpm2.TPMCCSetPrimaryPolicy:    (*Manager).forgetHierarchies,
}

func (m *Manager) forgetHierarchies() {
	m.forgetPersistents()
	m.dropPrimaries()
}

// admit takes what the chip has made into the space.
func (s *Space) admit(c *wire.Command, handle uint32, response []byte) []byte {
	if wire.IsAuthSession(handle) {
		started := s.manager.newSession(handle, s)
		started.bound, started.counts = isBound(c), s.bindCounts(c)
		s.sessions[handle] = started
		return response
	}
	o := s.newObject(c, response)
	s.manager.put(o, handle)
	s.manager.keepPrimary(s.primaryKey(c), o, response)
	return withHandle(response, s.give(o))
}

func (s *Space) newObject(c *wire.Command, response []byte) *object {
	o := &object{name: nameFrom(c), recipe: s.recipeOf(c, response), blob: blobOf(c), key: keyOf(c)}
	if startsSequence[c.Code] {
		o.info, o.volatile = filter.Object{Sequence: true}, true
	} else if p, ok := wire.ParseSizedPublic(c.Param("inPublic")); ok {
		o.info = filter.ObjectOf(&p)
	}
	if o.name == nil && o.recipe != nil {
		o.name = o.recipe.name()
	}
	return o
}

// blobOf identifies the auth value of a new object: that of a blob is always the same. What else makes objects, and a blob that came encrypted, may hide
// any, so each is the only one of its kind.
func blobOf(c *wire.Command) (blob [32]byte) {
	if c.Code == tpm2.TPMCCLoad && !c.Decrypts() {
		return sha256.Sum256(append(bytes.Clone(c.Param("inPrivate")), c.Param("inPublic")...))
	}
	rand.Read(blob[:])
	return blob
}

// startsSequence are the commands whose object changes with each use.
var startsSequence = map[tpm2.TPMCC]bool{tpm2.TPMCCHashSequenceStart: true, tpm2.TPMCCMACStart: true}

// bindCounts tells whether a new session is bound to something whose failed authorizations the chip counts: then it counts every failure of the session,
// with whatever command (U6).
func (s *Space) bindCounts(c *wire.Command) bool {
	if !isBound(c) {
		return false
	}
	object, held := s.Object(c.Handle(1))
	return !held || object.HasDA()
}

func isBound(c *wire.Command) bool {
	return c.Code == tpm2.TPMCCStartAuthSession && c.Handle(1) != uint32(tpm2.TPMRHNull)
}
