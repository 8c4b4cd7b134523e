package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/wire"
)

// A client is a caller at one of our front ends: what he was granted, and the space that he got for it.
type client struct {
	server    *server
	caller    caller
	principal uint32

	mu    sync.Mutex // guards what changes
	grant grant
	space *place

	narrowings int // profiles that came so
}

// mostNarrowings bounds what a client's filters cost: each profile holds memory, and each is asked before each command.
const mostNarrowings = 16

var errTooNarrow = fmt.Errorf("it would be narrowed by more than %d profiles; narrow by fewer, or open another one", mostNarrowings)

var errTooMany = errors.New("too many at once")

// admitCaller lets a caller in with what the namespaces grant him, or tells the log why not.
func (s *server) admitCaller(who caller) (*client, error) {
	principal := s.chips.principal(who.uid)
	say := func(format string, args ...any) { s.denials.printf(s.log, principal, format, args...) }
	g, err := s.rules.grantOf(who, say)
	if err != nil {
		say("refused %s at %s: %v", who, who.entrance, err)
		return nil, err
	}
	return s.enter(who, g)
}

// enter lets a caller in with a grant, or tells the log why not. Whoever gets a client leaves with it.
func (s *server) enter(who caller, g grant) (*client, error) {
	c := &client{server: s, caller: who, principal: s.chips.principal(who.uid), grant: g}
	if !s.admit(c.principal, g.mostConnections()) {
		err := fmt.Errorf("%w: more than %d connections", errTooMany, g.mostConnections())
		c.log("refused %s: %v", who, err)
		return nil, err
	}
	var err error
	if c.space, err = c.open(g); err != nil {
		s.dismiss(c.principal)
		if !errors.Is(err, rm.ErrClosed) { // we are about to stop
			c.log("refused %s: %v", who, err)
		}
		return nil, err
	}
	return c, nil
}

// open makes a space by a grant.
func (c *client) open(g grant) (*place, error) {
	return c.server.chips.open(g, rm.Options{UID: c.caller.uid, Denied: c.logDenial, Ran: c.ran})
}

// leave ends a client.
func (c *client) leave() {
	c.current().Close()
	c.server.dismiss(c.principal)
}

// send runs one command. A chip that fails is an answer; io.EOF says that we are about to stop.
func (c *client) send(command []byte) ([]byte, error) {
	if f, text, ok := device.ParseFrame(command); ok {
		return device.AnswerFrame(c.change(f, text), errSealed), nil
	}
	c.server.usage.queued(c.principal, 1)
	response, err := c.sendOn(command)
	c.server.usage.queued(c.principal, -1)
	if errors.Is(err, rm.ErrClosed) {
		return nil, io.EOF
	} else if err != nil {
		c.log("%v", err)
		response = wire.ErrorResponse(rcIOError)
	}
	return response, nil
}

// sendOn sends on the space that holds. A command that has waited for its turn in one that was given up goes to the next one.
func (c *client) sendOn(command []byte) ([]byte, error) {
	for {
		space := c.current()
		response, err := space.Send(command)
		switch {
		case errors.Is(err, rm.ErrClosed) && c.current() != space:
			continue
		case err != nil:
			err = fmt.Errorf("chip %d: %w", space.chip, err)
		}
		return response, err
	}
}

// change does what a frame asks for. Its sender needs no rights: a frame only takes them away.
func (c *client) change(f device.Frame, text string) error {
	switch f {
	case device.FrameNarrow:
		return c.narrowBy(text, holder{})
	case device.FrameSeal:
		return c.seal(holder{})
	}
	return fmt.Errorf("frame %d is not known", f)
}

// current is the space that holds now.
func (c *client) current() *place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.space
}

// granted is the grant that holds now.
func (c *client) granted() grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.grant
}

// narrowBy is narrow with the text of a profile, or its name. Who may not narrow has nothing read.
func (c *client) narrowBy(text string, h holder) error {
	if err := c.mayNarrow(1, h); err != nil {
		return err
	}
	by, err := c.readProfile(text)
	if err != nil {
		return err
	}
	return c.narrow(by, h)
}

func (c *client) mayNarrow(by int, h holder) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mayNarrowLocked(by, h)
}

func (c *client) mayNarrowLocked(by int, h holder) error {
	if err := c.grant.permits(narrow, h); err != nil {
		return err
	}
	if c.narrowings+by > mostNarrowings {
		return errTooNarrow
	}
	return nil
}

// narrow adds a filter: from now on the client may send what both let through.
func (c *client) narrow(by *filter.Filter, h holder) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mayNarrowLocked(by.Profiles(), h); err != nil {
		return err
	}
	c.narrowings += by.Profiles()
	c.space.Narrow(by)
	c.grant.filter = c.grant.filter.Narrow(by)
	return nil
}

// seal lets nothing of the grant change any more.
func (c *client) seal(h holder) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.grant.permits(seal, h); err != nil {
		return err
	}
	c.grant.sealed = true
	return nil
}

// widen gives a client another filter or chip, and a space for it in which nothing is. What it had in the old one is gone.
func (c *client) widen(to func(*grant), h holder) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.grant.permits(widen, h); err != nil {
		return err
	}
	g := c.grant
	to(&g)
	space, err := c.open(g)
	if err != nil {
		return err
	}
	c.space.Close()
	c.grant, c.space = g, space
	return nil
}

// moveTo gives a client another grant and a space that was opened by it.
func (c *client) moveTo(g grant, space *place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.space.Close()
	c.grant, c.space, c.narrowings = g, space, 0
}

// logDenial tells the administrator which rule refused what of whom.
func (c *client) logDenial(d filter.Decision, code tpm2.TPMCC) {
	c.server.usage.refused(c.principal, code, d)
	c.log("denied %s%s%s %s: %s (rule %s)", c.caller, c.granted().place(), calling(c.caller.process), nameOf(code), d.Why, d.Rule)
}

func (c *client) ran(code tpm2.TPMCC, waited, took time.Duration) {
	c.server.usage.ran(c.principal, code, waited, took)
}

// log writes a line, unless this principal or all of them have caused too many.
func (c *client) log(format string, args ...any) {
	c.server.denials.printf(c.server.log, c.principal, format, args...)
}

// admit counts a client, unless its principal has as many as it may.
func (s *server) admit(principal uint32, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[principal] >= most && principal != 0 {
		return false
	}
	s.count[principal]++
	s.usage.came(principal, 1)
	return true
}

func (s *server) dismiss(principal uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage.came(principal, -1)
	if s.count[principal]--; s.count[principal] == 0 {
		delete(s.count, principal)
	}
}
