package rm

import (
	"bytes"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

const (
	firstHandle    uint32 = 0x80000000
	handleNumbers  uint32 = 0x00FFFFFF
	handleOffset          = wire.HeaderSize // of the handle in a response
	responseHandle        = wire.HeaderSize + 4
)

// quota is why a command may not make another object or session, or 0.
func (s *Space) quota(c *wire.Command) tpm2.TPMRC {
	switch {
	case c.Code == tpm2.TPMCCStartAuthSession:
		return s.sessionQuota()
	case c.Shape.HandleOut() && s.full():
		return rcObjectQuota
	}
	return 0
}

// full tells whether the client may have no more objects.
func (s *Space) full() bool {
	return len(s.objects)+len(s.sequences) >= s.limits.Objects || !s.isRoot() && s.manager.held[s.principal] >= s.limits.PrincipalObjects
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
			s.manager.held[s.principal]++
			return vhandle
		}
	}
}

// withHandle is a copy of a response with another handle in it.
func withHandle(response []byte, handle uint32) []byte {
	m := wire.NewMessage(0, 0).Uint32(handle).Bytes()
	return append(append(bytes.Clone(response[:handleOffset]), m[handleOffset:]...), response[responseHandle:]...)
}

// flush is TPM2_FlushContext of one's own object or session, saved or not (Part 3, 28.4), which the filter has made sure of.
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
	} else if parked := s.parked(handle); parked != nil {
		s.manager.endSession(parked)
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
	if held[s.principal] -= n; held[s.principal] <= 0 {
		delete(held, s.principal)
	}
}

// letGo ends one holder's use of an object; the last one takes it off the chip.
func (m *Manager) letGo(o *object) {
	if o.holders--; o.holders == 0 {
		m.takeOff(o)
	}
}
