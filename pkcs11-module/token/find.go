package token

import "bytes"

// findObjectsInit is C_FindObjectsInit (5.7). What no object has matches none.
func findObjectsInit(s *session, r *request, _ *response) CKR {
	t := r.template()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case s.finding:
		return CKR_OPERATION_ACTIVE
	}
	s.token.refreshFor(t)
	s.library.mu.Lock()
	defer s.library.mu.Unlock()
	s.finding, s.found = true, nil
	candidates, _ := s.token.objects.candidates(t)
	for _, o := range candidates {
		if s.token.shows(o) && o.matches(t) && (o.class != CKO_PROFILE || t.asksForProfiles()) {
			s.found = append(s.found, o.handle)
		}
	}
	return CKR_OK
}

func (o *object) matches(t template) bool {
	for _, a := range t {
		if value, rv := o.attribute(a.kind); rv != CKR_OK || !bytes.Equal(value, a.value) {
			return false
		}
	}
	return true
}

func findObjects(s *session, r *request, out *response) CKR {
	most := r.number()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case !s.finding:
		return CKR_OPERATION_NOT_INITIALIZED
	}
	n := min(most, uint64(len(s.found)))
	rv := list(out, room{true, n}, s.found[:n])
	s.found = s.found[n:]
	return rv
}

func findObjectsFinal(s *session, _ *request, _ *response) CKR {
	if !s.finding {
		return CKR_OPERATION_NOT_INITIALIZED
	}
	s.finding, s.found = false, nil
	return CKR_OK
}
