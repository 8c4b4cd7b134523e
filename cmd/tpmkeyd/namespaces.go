package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	"tpmkey.example/namespace"
	"tpmkey.example/rm"
)

// namespaces tell who gets what. They are read as a whole, checked as a whole, and replaced as a whole: a mistake in a file leaves what was there before.
type namespaces struct {
	path      string
	optional  bool   // the file may be missing: then everybody gets the same
	profile   string // the filter of everybody, read again with the rest where it is a file; "": it stays
	everybody grant  // for whom no namespace is, before anything was read

	now atomic.Pointer[rules]
}

// rules are what was read at one time.
type rules struct {
	set       *namespace.Set
	everybody grant // for whom no namespace is
	missing   bool  // there is no file of namespaces
}

var (
	errNotForHim = errors.New("this socket belongs to a namespace that he is not in")
	errHidden    = errors.New("which namespace he is in is not known, since the process that connected cannot be asked any more; let it live until it has an answer")
)

// current are the rules that hold now.
func (n *namespaces) current() *rules {
	if r := n.now.Load(); r != nil {
		return r
	}
	return &rules{set: &namespace.Set{}, everybody: n.everybody}
}

// read gives what the files say now.
func (n *namespaces) read() (*rules, error) {
	r := &rules{set: &namespace.Set{}, everybody: n.current().everybody}
	if n.profile != "" {
		f, err := readFilter(n.profile)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		r.everybody.filter = f
	}
	text, err := readTrusted(n.path)
	if errors.Is(err, os.ErrNotExist) && n.optional {
		r.missing = true
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if r.set, err = namespace.Parse(text, readFilter); err != nil {
		return nil, fmt.Errorf("%s: %w", n.path, err)
	}
	return r, nil
}

// grantOf maps a caller to what he gets.
func (n *namespaces) grantOf(c caller, l func(format string, args ...any)) (grant, error) {
	r := n.current()
	if len(r.set.Namespaces) == 0 {
		return r.everybody, nil
	}
	asked := described(r.set, c, l)
	found, refused := r.set.Of(asked)
	switch {
	case refused && asked.Hidden:
		return grant{}, errHidden
	case refused:
		return grant{}, errNotForHim
	case found == nil:
		return r.everybody, nil
	}
	return r.grant(found), nil
}

// described is a caller as namespaces know callers.
func described(set *namespace.Set, c caller, l func(format string, args ...any)) namespace.Caller {
	d := namespace.Caller{UID: c.uid, GIDs: []uint32{c.gid}, Socket: c.entrance}
	if set.AsksForGroups() {
		groups, err := c.process.groups()
		if err != nil {
			l("groups of %s are not known: %v", c, err)
			d.Hidden = true
		}
		d.GIDs = append(d.GIDs, groups...)
	}
	if set.AsksForCgroups() {
		cgroups, err := c.process.cgroups()
		if err != nil {
			l("the cgroup of %s is not known: %v", c, err)
			d.Hidden = true
		}
		d.Cgroups = cgroups
	}
	return d
}

// grant is what a namespace gives.
func (r *rules) grant(found *namespace.Namespace) grant {
	g := r.everybody
	g.namespace, g.chip, g.locality = found.Name, found.Chip, found.Locality
	if found.Filter != nil {
		g.filter = found.Filter
	}
	l := found.Limits
	g.connections = l.Connections
	g.limits = rm.Limits{Objects: l.Objects, PrincipalObjects: l.ObjectsPerUser, Sessions: l.Sessions, PrincipalSessions: l.SessionsPerUser}
	return g
}

// reload reads the files again for a server. Clients keep what they were granted; whoever comes from now on gets what the files say.
func (n *namespaces) reload(s *server) error {
	r, err := n.read()
	if err != nil {
		return err
	}
	err = s.replaceVTPMs(r.set.VTPMs(), r.grant, func() error {
		return s.replaceDoors(r.set.Sockets(), func() { n.now.Store(r) })
	})
	if err == nil {
		s.warnOfUnreachable(r)
	}
	return err
}

// warnOfUnreachable says of which namespaces nobody is let in, since there is no such chip or locality. A chip may come later, so that is no mistake.
func (s *server) warnOfUnreachable(r *rules) {
	for i := range r.set.Namespaces {
		n := &r.set.Namespaces[i]
		if n.Chip == anyChip && n.Locality == 0 {
			continue
		}
		if err := s.chips.mayOpen(r.grant(n)); err != nil {
			s.log.Printf("namespace %q, line %d: its callers are refused: %v", n.Name, n.Line, err)
		}
	}
}

// reloadOnSignal reloads whenever SIGHUP comes.
func (n *namespaces) reloadOnSignal(s *server, l *log.Logger) (stop func()) {
	return onSignal(reloadSignal, func() {
		if err := n.reload(s); err != nil {
			l.Printf("SIGHUP: nothing has changed: %v", err)
			return
		}
		r := n.current()
		l.Printf("SIGHUP: %s, filter %s", r.count(n.path), r.everybody.filter.Name())
	})
}

// count says how many namespaces there are, and where they come from.
func (r *rules) count(path string) string {
	switch n := len(r.set.Namespaces); {
	case r.missing:
		return "no namespaces, since there is no " + path
	case n == 1:
		return "1 namespace from " + path
	default:
		return fmt.Sprintf("%d namespaces from %s", n, path)
	}
}
