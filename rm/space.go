package rm

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// A Space is one client's view of the chip. It is a go-tpm transport.TPMCloser and safe for concurrent use.
type Space struct {
	manager   *Manager
	options   Options
	limits    Limits
	principal uint32
	closed    chan struct{}
	once      sync.Once
	used      atomic.Bool // it has had a turn, and may hold something

	narrowed atomic.Pointer[filter.Filter]

	// Owned by whoever has the manager's turn.
	objects   map[uint32]*object
	sequences map[uint32]*sequence
	sessions  map[uint32]*session
	next      uint32 // virtual handle to try first: a flushed one is not given out again at once
	fault     error  // of the chip, met while the filter asked what a handle stands for

	refusedUntil time.Time // how long a brake holds that refused a command of this client last
}

// Send runs one command: the filter's verdict, then the chip or the manager's own answer. Whatever a TPM would answer is a
// response; an error means that the chip could not be asked (ErrClosed: that this space was closed).
func (s *Space) Send(command []byte) ([]byte, error) {
	c, err := wire.Parse(command)
	if (err == wire.ErrUnknown || err == nil && c.Shape.NameOnly()) && s.filter().Allows(c.Code) {
		return s.sendUnknown(command)
	}
	if err != nil {
		return s.refuse(filter.Malformed(err), c.Code), nil
	}
	if !s.filter().Allows(c.Code) {
		return s.refuse(s.filter().Check(&c, s), c.Code), nil
	}
	return s.inTurn(&c, func() ([]byte, filter.Decision, error) { return s.run(&c) })
}

// sendUnknown runs a command of which only the chip knows the form: it may be newer than we are, or its maker's own.
func (s *Space) sendUnknown(command []byte) ([]byte, error) {
	var c wire.Command
	return s.inTurn(&c, func() ([]byte, filter.Decision, error) {
		shape, err := s.manager.shapeOf(command)
		if err != nil {
			return nil, filter.Decision{}, err
		}
		if c, err = wire.ParseAs(command, shape); err != nil {
			return nil, filter.Malformed(err), nil
		}
		return s.run(&c)
	})
}

// inTurn waits for the turn and does what needs it, once nothing slows the caller down.
func (s *Space) inTurn(c *wire.Command, work func() ([]byte, filter.Decision, error)) (response []byte, err error) {
	var decision filter.Decision
	var pause time.Duration
	came := time.Now()
	attempt := func() {
		if pause = s.pause(c); pause > 0 {
			return
		}
		if s.used.Store(true); s.isClosed() { // in this order: Close looks the other way round
			err = ErrClosed
			return
		}
		began := time.Now()
		response, decision, err = work()
		s.settle(c, time.Since(began))
		s.tell(c, began.Sub(came), time.Since(began))
	}
	for pause = 1; pause > 0; {
		if !s.manager.turns.do(s.principal, s.closed, s.manager.closed, attempt) || !s.sleep(pause) {
			return nil, ErrClosed
		}
	}
	if err == nil && !decision.Allowed {
		return s.refuse(decision, c.Code), nil
	}
	return response, err
}

// settle has a turn charged no more than it should be.
func (s *Space) settle(c *wire.Command, took time.Duration) {
	m := s.manager
	if m.done {
		m.turns.excuse(m.usual.excess(usage{s.principal, c.Code}, took))
	}
	m.done = false
}

// pause is how long a command must wait for brakes and for the allowance to make keys. One that is refused need not wait.
func (s *Space) pause(c *wire.Command) time.Duration {
	if c.Shape == nil {
		return 0
	}
	now := s.manager.now()
	wait, refusal := s.braked(c, now)
	if !refusal.Allowed {
		return 0
	}
	return max(wait, s.makingPause(c, now))
}

// sleep reports false when there is nobody left to sleep for.
func (s *Space) sleep(pause time.Duration) bool {
	if pause == 0 {
		return true
	}
	select {
	case <-s.manager.after(pause):
		return true
	case <-s.closed:
	case <-s.manager.closed:
	}
	return false
}

// tell says how long a command waited and took.
func (s *Space) tell(c *wire.Command, waited, took time.Duration) {
	if s.options.Ran != nil {
		s.options.Ran(c.Code, waited, took)
	}
}

// filter is the one that holds now.
func (s *Space) filter() *filter.Filter { return s.narrowed.Load() }

// Narrow adds a filter: from now on the client may send what both let through. Nothing takes it back.
func (s *Space) Narrow(by *filter.Filter) {
	for {
		old := s.filter()
		if s.narrowed.CompareAndSwap(old, old.Narrow(by)) {
			return
		}
	}
}

func (s *Space) refuse(d filter.Decision, code tpm2.TPMCC) []byte {
	if s.options.Denied != nil && d.RC != filter.RCNoSuch { // that nothing is there is an answer
		s.options.Denied(d, code)
	}
	return wire.ErrorResponse(d.RC)
}

// run has the turn.
func (s *Space) run(c *wire.Command) ([]byte, filter.Decision, error) {
	m := s.manager
	m.begin()
	defer m.returnLater()
	if m.maxCommand > 0 && len(c.Bytes) > m.maxCommand {
		return nil, filter.Malformed(wire.ErrSize), nil
	}
	if s.readsPersistent(c) {
		m.forgetPersistent(c.Handle(0)) // this command is how it becomes known again
	}
	s.fault = nil
	decision := s.filter().Check(c, s)
	if s.fault != nil || !decision.Allowed {
		return nil, decision, s.fault
	}
	if wait, refusal := s.braked(c, m.now()); !refusal.Allowed {
		s.refusedUntil = m.now().Add(wait)
		return nil, refusal, nil
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
	if m.config.Sharing == Shared && (m.chip != nil || m.doubtful) {
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
		if s.readsPersistent(c) {
			return bytes.Clone(s.manager.persistents[c.Handle(0)].response), nil
		}
	case tpm2.TPMCCCreatePrimary:
		if p := s.manager.primaries[s.primaryKey(c)]; p != nil {
			return s.givePrimary(p), nil
		}
	}
	if rc := s.quota(c); rc != 0 {
		return wire.ErrorResponse(rc), nil
	}
	if s.filter().Answers(c.Code) {
		return s.answerItself(c)
	}
	return s.onChip(c)
}

// Close takes everything of this client off the chip: at once, or when those who are before it have had their turns, for which it does not wait. Calls that
// wait for their turn return ErrClosed at once. A client that has had no turn holds nothing and needs none: while the chip makes a key, others could come and
// go by the hundred thousand, and each would be waited for.
func (s *Space) Close() error {
	s.once.Do(func() {
		close(s.closed)
		if !s.used.Load() || s.leave(s.closed) {
			return
		}
		go s.leave(s.manager.closed) // a closed manager leaves nothing behind anyway
	})
	return nil
}

// leave is the client's last turn. It gives up when stop is closed, and then reports false.
func (s *Space) leave(stop <-chan struct{}) bool {
	if !s.manager.turns.take(s.principal, stop, nil) {
		return false
	}
	defer s.manager.turns.give()
	s.release()
	return true
}

func (s *Space) release() {
	if s.manager.isClosed() {
		return
	}
	s.manager.begin()
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
