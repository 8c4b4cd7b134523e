package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"

	"tpmkey.example/namespace"
)

// vtpms are the virtual TPMs of namespaces, by the namespaces' names.
type vtpms struct {
	mu     sync.Mutex
	plug   func(*client) (*vtpm, error)
	in     map[string]*vtpm
	closed bool // for good
}

// vtpmUID is who uses a virtual TPM: the namespace itself, by a uid that nobody has and that is the same after a restart. It is never root's.
func vtpmUID(name string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(name))
	return 0xFFF00000 | h.Sum32()>>12
}

// plugMissing makes the virtual TPMs that are wanted and not there yet: all of them, or none.
func (s *server) plugMissing(wanted []namespace.Namespace, grantOf func(*namespace.Namespace) grant) (made map[string]*vtpm, err error) {
	made = map[string]*vtpm{}
	for i := range wanted {
		n := &wanted[i]
		if s.vtpms.in[n.Name] != nil {
			continue
		}
		if made[n.Name], err = s.plugOne(n.Name, grantOf(n)); err != nil {
			delete(made, n.Name)
			unplugAll(made)
			return nil, fmt.Errorf("namespace %q, line %d: %w", n.Name, n.Line, err)
		}
	}
	return made, nil
}

func (s *server) plugOne(name string, g grant) (*vtpm, error) {
	c, err := s.enter(caller{uid: vtpmUID(name), entrance: "/dev/vtpmx"}, g)
	if err != nil {
		return nil, err
	}
	v, err := s.vtpms.plug(c)
	if err != nil {
		c.leave()
		return nil, err
	}
	v.as = g
	return v, nil
}

// A regrant is what a virtual TPM that stays gets from now on, and a space for it.
type regrant struct {
	of    *vtpm
	to    grant
	space *place
}

// openChanged opens spaces for the virtual TPMs that stay and of which the file says something else now: all of them, or none. Unlike other clients these stay for
// as long as the service lives, so nothing new would ever come to hold.
func (s *server) openChanged(wanted []namespace.Namespace, grantOf func(*namespace.Namespace) grant) (changed []regrant, err error) {
	for i := range wanted {
		n := &wanted[i]
		v, to := s.vtpms.in[n.Name], grantOf(n)
		if v == nil || to.is(v.as) {
			continue
		}
		space, err := v.client.open(to)
		if err != nil {
			closeSpaces(changed)
			return nil, fmt.Errorf("namespace %q, line %d: %w", n.Name, n.Line, err)
		}
		changed = append(changed, regrant{v, to, space})
	}
	return changed, nil
}

func closeSpaces(list []regrant) {
	for _, r := range list {
		r.space.Close()
	}
}

// regrantAll has the virtual TPMs go on with their new spaces, in which nothing is.
func (s *server) regrantAll(list []regrant) {
	for _, r := range list {
		r.of.as = r.to
		r.of.client.moveTo(r.to, r.space)
		s.log.Printf("namespace %s: /dev/tpm%d has the filter %s now; what was loaded there is gone", r.to.namespace, r.of.number, r.to.filter.Name())
	}
}

// replaceVTPMs makes the virtual TPMs that are missing, has swap change the rest of the rules, and takes away those that nobody wants any more. An error leaves all
// as it was.
func (s *server) replaceVTPMs(wanted []namespace.Namespace, grantOf func(*namespace.Namespace) grant, swap func() error) error {
	s.vtpms.mu.Lock()
	defer s.vtpms.mu.Unlock()
	if s.vtpms.closed {
		return errStopping
	}
	made, err := s.plugMissing(wanted, grantOf)
	if err != nil {
		return err
	}
	changed, err := s.openChanged(wanted, grantOf)
	if err == nil {
		err = swap()
	}
	if err != nil {
		unplugAll(made)
		closeSpaces(changed)
		return err
	}
	s.regrantAll(changed)
	maps.DeleteFunc(s.vtpms.in, func(name string, v *vtpm) bool {
		stays := slices.ContainsFunc(wanted, func(n namespace.Namespace) bool { return n.Name == name })
		if !stays {
			v.unplug()
		}
		return !stays
	})
	for name, v := range made {
		s.log.Printf("namespace %s has /dev/tpm%d and /dev/tpmrm%d", name, v.number, v.number)
		s.vtpms.in[name] = v
	}
	return nil
}

func unplugAll(list map[string]*vtpm) {
	for _, v := range list {
		v.unplug()
	}
}

// closeAll takes all virtual TPMs away for good.
func (v *vtpms) closeAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	unplugAll(v.in)
	clear(v.in)
}
