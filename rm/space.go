package rm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// What one client may hold. Objects cost our memory only; sessions are few on the chip.
const (
	firstHandle      uint32 = 0x80000000
	maxObjects              = 64  // of one connection
	principalObjects        = 256 // of one principal
	handleNumbers    uint32 = 0x00FFFFFF
	handleOffset            = wire.HeaderSize // of the handle in a response
	responseHandle          = wire.HeaderSize + 4
)

// A Space is one client's view of the chip. It is a go-tpm transport.TPMCloser and safe for concurrent use.
type Space struct {
	manager *Manager
	options Options
	closed  chan struct{}
	once    sync.Once

	// Owned by whoever has the manager's turn.
	objects   map[uint32]*object
	sequences map[uint32]*sequence
	sessions  map[uint32]*session
	next      uint32 // virtual handle to try first: a flushed one is not given out again at once
	fault     error  // of the chip, met while the filter asked what a handle stands for
}

// Send runs one command: the filter's verdict, then the chip or the manager's own answer. Whatever a TPM would answer is a
// response; an error means that the chip could not be asked (ErrClosed: that this space was closed).
func (s *Space) Send(command []byte) ([]byte, error) {
	c, err := wire.Parse(command)
	if err != nil {
		return s.refuse(filter.Malformed(err), c.Code), nil
	}
	if !s.options.Filter.Allows(c.Code) {
		return s.refuse(s.options.Filter.Check(&c, s), c.Code), nil
	}
	if !s.manager.turns.take(s.options.UID, s.closed, s.manager.closed) {
		return nil, ErrClosed
	}
	response, decision, err := s.run(&c)
	s.manager.turns.give()
	if err == nil && !decision.Allowed {
		return s.refuse(decision, c.Code), nil
	}
	return response, err
}

func (s *Space) refuse(d filter.Decision, code tpm2.TPMCC) []byte {
	if s.options.Denied != nil && d.RC != filter.RCNoSuch { // that nothing is there is an answer
		s.options.Denied(d, code)
	}
	return wire.ErrorResponse(d.RC)
}

// run has the turn.
func (s *Space) run(c *wire.Command) ([]byte, filter.Decision, error) {
	if s.isClosed() {
		return nil, filter.Decision{}, ErrClosed
	}
	m := s.manager
	m.idle.Stop()
	defer m.returnLater()
	if s.readsSRK(c) {
		m.srk.known = false // this command is how it becomes known again
	}
	s.fault = nil
	decision := s.options.Filter.Check(c, s)
	if s.fault != nil || !decision.Allowed {
		return nil, decision, s.fault
	}
	if d, err := m.checkBudget(c, s); err != nil || !d.Allowed {
		return nil, d, err
	}
	response, err := s.answer(c)
	return response, decision, err
}

func (s *Space) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return s.manager.isClosed()
	}
}

func (m *Manager) returnLater() {
	if m.config.Sharing == Shared && m.chip != nil {
		m.quiet = time.Now()
		m.idle.Reset(idleBeforeReturn)
	}
}

// answer gives the manager's own answer where it has one, else the chip's.
func (s *Space) answer(c *wire.Command) ([]byte, error) {
	switch c.Code {
	case tpm2.TPMCCFlushContext:
		return s.flush(c), nil
	case tpm2.TPMCCGetCapability:
		if response, err := s.capability(c); response != nil || err != nil {
			return response, err
		}
	case tpm2.TPMCCReadPublic:
		if s.readsSRK(c) {
			return bytes.Clone(s.manager.srk.response), nil
		}
	case tpm2.TPMCCCreatePrimary:
		if p := s.manager.primaries[primaryKey(c)]; p != nil {
			return s.givePrimary(p), nil
		}
	}
	if rc := s.quota(c); rc != 0 {
		return wire.ErrorResponse(rc), nil
	}
	if s.options.Filter.Answers(c.Code) {
		return answers[c.Code](s, c)
	}
	return s.onChip(c)
}

// quota tells whether the command would make one object or session too many.
func (s *Space) quota(c *wire.Command) tpm2.TPMRC {
	switch {
	case c.Code == tpm2.TPMCCStartAuthSession && s.sessionQuota():
		return rcSessionQuota
	case c.Code != tpm2.TPMCCStartAuthSession && c.Shape.HandleOut() && s.full():
		return rcObjectQuota
	}
	return 0
}

// full tells whether the client may have no more objects.
func (s *Space) full() bool {
	return len(s.objects)+len(s.sequences) >= maxObjects || s.options.UID != 0 && s.manager.held[s.options.UID] >= principalObjects
}

// onChip runs a command on the chip: prepare, send, commit.
func (s *Space) onChip(c *wire.Command) ([]byte, error) {
	s.manager.commandsRun++
	keep := s.named(c)
	for {
		physical, rc, err := s.prepare(c, keep)
		if err != nil || rc != 0 {
			return wire.ErrorResponse(rc), err
		}
		response, rc, err := s.manager.sendMakingRoom(physical, keep)
		if err != nil {
			return nil, err
		}
		if s.missed(c, rc) {
			continue
		}
		s.manager.noteOutcome(c, s, rc)
		if rc != 0 {
			return response, nil
		}
		return s.commit(c, response)
	}
}

// missed tells whether a code says that the chip does not have an object that was put on it. The object counts as loaded no more, so that the next try
// brings it again.
func (s *Space) missed(c *wire.Command, rc tpm2.TPMRC) bool {
	if i := int(rc) - int(rcReferenceS0); i >= 0 && i < len(c.Auths()) {
		if authSession := s.sessions[c.Auths()[i].Session]; authSession != nil {
			authSession.loaded = false // lost: nobody can make it again
		}
	}
	i := int(rc) - int(rcReferenceH0)
	if i < 0 || i >= c.Shape.Handles {
		return false
	}
	o := s.objects[c.Handle(i)]
	return o != nil && s.manager.miss(o)
}

// prepare puts all that a command names on the chip, and gives the command with the chip's handles in it.
func (s *Space) prepare(c *wire.Command, keep holding) ([]byte, tpm2.TPMRC, error) {
	physical := bytes.Clone(c.Bytes)
	for i := range c.Shape.Handles {
		o := s.objects[c.Handle(i)]
		if o == nil {
			continue
		}
		rc, err := s.manager.bring(o, keep)
		if rc == rcReferenceH0 {
			rc += tpm2.TPMRC(i)
		}
		if err != nil || rc != 0 {
			return nil, rc, err
		}
		wire.SetHandle(physical, i, o.phandle)
	}
	for i, a := range c.Auths() {
		authSession := s.sessions[a.Session]
		if authSession == nil {
			continue
		}
		if ok, err := s.manager.bringSession(authSession, keep); err != nil || !ok {
			return nil, rcReferenceS0 + tpm2.TPMRC(i), err
		}
	}
	if c.Code == tpm2.TPMCCStartAuthSession {
		return physical, 0, s.manager.leaveSessionRoom(keep)
	}
	return physical, 0, s.manager.leaveRoom(keep)
}

// named is what a command names, and how many slots it takes besides.
func (s *Space) named(c *wire.Command) holding {
	keep := holding{slots: hiddenSlots(c)}
	for i := range c.Shape.Handles {
		if o := s.objects[c.Handle(i)]; o != nil {
			keep.objects = append(keep.objects, o)
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
	for _, a := range c.Auths() {
		if authSession := s.sessions[a.Session]; authSession != nil && a.Attributes&wire.ContinueSession == 0 {
			s.manager.forgetSession(authSession)
			delete(s.sessions, a.Session)
		}
	}
	if !c.Shape.HandleOut() {
		return response, nil
	}
	if len(response) < responseHandle {
		return nil, s.manager.fail(fmt.Errorf("a response to %s without a handle", c.Shape.Name))
	}
	cursor := wire.NewCursor(response[handleOffset:])
	return s.admit(c, cursor.Uint32(), response)
}

// admit takes what the chip has made into the space.
func (s *Space) admit(c *wire.Command, handle uint32, response []byte) ([]byte, error) {
	switch {
	case wire.IsAuthSession(handle):
		s.sessions[handle] = s.manager.newSession(handle, s)
		return response, nil
	case wire.IsTransient(handle):
		o := &object{recipe: s.recipeOf(c, response), blob: sha256.Sum256(append(bytes.Clone(c.Param("inPrivate")), c.Param("inPublic")...))}
		if p, ok := wire.ParseSizedPublic(c.Param("inPublic")); ok {
			o.info = filter.ObjectOf(&p)
		}
		s.manager.put(o, handle)
		s.manager.keepPrimary(c, o, response)
		return withHandle(response, s.give(o)), nil
	}
	return nil, s.manager.fail(fmt.Errorf("handle 0x%x in a response to %s", handle, c.Shape.Name))
}

// give makes a virtual handle for an object.
func (s *Space) give(o *object) uint32 {
	vhandle := s.freeHandle()
	s.objects[vhandle] = o
	o.holders++
	return vhandle
}

// freeHandle gives a handle that the space does not use yet, and counts it.
func (s *Space) freeHandle() uint32 {
	for {
		vhandle := s.next
		s.next = firstHandle | (s.next+1)&handleNumbers
		if s.objects[vhandle] == nil && s.sequences[vhandle] == nil {
			s.manager.held[s.options.UID]++
			return vhandle
		}
	}
}

// withHandle is a copy of a response with another handle in it.
func withHandle(response []byte, handle uint32) []byte {
	m := wire.NewMessage(0, 0).Uint32(handle).Bytes()
	return append(append(bytes.Clone(response[:handleOffset]), m[handleOffset:]...), response[responseHandle:]...)
}

// flush is TPM2_FlushContext of one's own object or session (Part 3, 28.4), which the filter has made sure of.
func (s *Space) flush(c *wire.Command) []byte {
	cursor := wire.NewCursor(c.Param("flushHandle"))
	handle := cursor.Uint32()
	if o := s.objects[handle]; o != nil {
		delete(s.objects, handle)
		s.countDown(1)
		s.manager.letGo(o)
	} else if s.sequences[handle] != nil {
		s.endSequence(handle)
	} else if authSession := s.sessions[handle]; authSession != nil {
		delete(s.sessions, handle)
		s.manager.endSession(authSession)
	}
	return wire.ErrorResponse(tpm2.TPMRCSuccess)
}

func (s *Space) endSequence(handle uint32) {
	delete(s.sequences, handle)
	s.countDown(1)
}

// countDown notes that the principal holds fewer objects.
func (s *Space) countDown(n int) {
	held := s.manager.held
	if held[s.options.UID] -= n; held[s.options.UID] <= 0 {
		delete(held, s.options.UID)
	}
}

// letGo ends one holder's use of an object; the last one takes it off the chip.
func (m *Manager) letGo(o *object) {
	if o.holders--; o.holders == 0 {
		m.takeOff(o)
	}
}

// Object is the filter's question what a handle stands for (filter.Holder). The caller has the turn, except where nothing is held.
func (s *Space) Object(handle uint32) (filter.Object, bool) {
	if handle == wire.SRK {
		object, present, err := s.manager.storageRootKey()
		s.fault = err
		return object, present
	}
	if o := s.objects[handle]; o != nil {
		return o.info, true
	}
	if s.sequences[handle] != nil {
		return sequenceInfo, true
	}
	return filter.Object{}, false
}

// HoldsSession is the filter's question whether a session is the client's own (filter.Holder).
func (s *Space) HoldsSession(handle uint32) bool { return s.sessions[handle] != nil }

// Close takes everything of this client off the chip. Calls that wait for their turn return ErrClosed at once.
func (s *Space) Close() error {
	s.once.Do(func() {
		close(s.closed)
		if !s.manager.turns.take(s.options.UID, s.manager.closed, nil) {
			return // the manager itself was closed, and leaves nothing behind
		}
		defer s.manager.turns.give()
		s.release()
	})
	return nil
}

func (s *Space) release() {
	if s.manager.isClosed() {
		return
	}
	s.manager.idle.Stop()
	defer s.manager.returnLater()
	for _, o := range s.objects {
		s.manager.letGo(o)
	}
	for _, authSession := range s.sessions {
		s.manager.endSession(authSession)
	}
	s.countDown(len(s.objects) + len(s.sequences))
	s.objects, s.sequences, s.sessions = nil, nil, nil
}
