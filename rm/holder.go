package rm

import (
	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// Object is the filter's question what a handle stands for (filter.Holder). The caller has the turn, except where nothing is held.
func (s *Space) Object(handle uint32) (filter.Object, bool) {
	if wire.IsPersistent(handle) {
		return s.persistent(handle)
	}
	if o := s.objects[handle]; o != nil {
		return o.info, true
	}
	if s.sequences[handle] != nil {
		return sequenceInfo, true
	}
	return filter.Object{}, false
}

func (s *Space) persistent(handle uint32) (filter.Object, bool) {
	if !s.filter().Lists(handle) {
		return filter.Object{}, false
	}
	p, err := s.manager.persistentAt(handle, holding{})
	if err != nil {
		s.fault = err
		return filter.Object{}, false
	}
	return p.object, p.present
}

// Caller is the filter's question who calls (filter.Holder).
func (s *Space) Caller() uint32 { return s.options.UID }

// HoldsSession is the filter's question whether a session is the client's own (filter.Holder).
func (s *Space) HoldsSession(handle uint32) bool { return s.sessions[handle] != nil }

// SavedSession is the filter's question whether a session is one that the client's principal has saved (filter.Holder).
func (s *Space) SavedSession(handle uint32) bool { return s.parked(handle) != nil }
