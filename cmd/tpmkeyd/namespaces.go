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

// namespaces tell who gets what. They are read as a whole, checked as a whole, and replaced as a whole: a mistake in the file leaves what was there before.
type namespaces struct {
	path      string
	optional  bool  // the file may be missing: then everybody gets the same
	everybody grant // for whom no namespace is

	set atomic.Pointer[namespace.Set]
}

var (
	errNotForHim = errors.New("this socket belongs to a namespace that he is not in")
	errHidden    = errors.New("which namespace he is in is not known, since the process that connected cannot be asked any more; let it live until it has an answer")
)

// read gives what the file says now.
func (n *namespaces) read() (*namespace.Set, error) {
	text, err := readTrusted(n.path)
	if errors.Is(err, os.ErrNotExist) && n.optional {
		return &namespace.Set{}, nil
	}
	if err != nil {
		return nil, err
	}
	set, err := namespace.Parse(text, readFilter)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.path, err)
	}
	return set, nil
}

// grantOf maps a caller to what he gets.
func (n *namespaces) grantOf(c caller, l func(format string, args ...any)) (grant, error) {
	set := n.set.Load()
	if set == nil || len(set.Namespaces) == 0 {
		return n.everybody, nil
	}
	described := n.described(set, c, l)
	found, refused := set.Of(described)
	switch {
	case refused && described.Hidden:
		return grant{}, errHidden
	case refused:
		return grant{}, errNotForHim
	case found == nil:
		return n.everybody, nil
	}
	return n.grant(found), nil
}

// described is a caller as namespaces know callers.
func (n *namespaces) described(set *namespace.Set, c caller, l func(format string, args ...any)) namespace.Caller {
	described := namespace.Caller{UID: c.uid, GIDs: []uint32{c.gid}, Socket: c.entrance}
	if set.AsksForGroups() {
		groups, err := c.process.groups()
		if err != nil {
			l("groups of %s are not known: %v", c, err)
			described.Hidden = true
		}
		described.GIDs = append(described.GIDs, groups...)
	}
	if set.AsksForCgroups() {
		cgroups, err := c.process.cgroups()
		if err != nil {
			l("the cgroup of %s is not known: %v", c, err)
			described.Hidden = true
		}
		described.Cgroups = cgroups
	}
	return described
}

// grant is what a namespace gives.
func (n *namespaces) grant(found *namespace.Namespace) grant {
	g := n.everybody
	g.namespace, g.chip, g.locality = found.Name, found.Chip, found.Locality
	if found.Filter != nil {
		g.filter = found.Filter
	}
	l := found.Limits
	g.connections = l.Connections
	g.limits = rm.Limits{Objects: l.Objects, PrincipalObjects: l.ObjectsPerUser, Sessions: l.Sessions, PrincipalSessions: l.SessionsPerUser}
	return g
}

// reload reads the file again for a server. Clients keep what they were granted; whoever comes from now on gets what the file says.
func (n *namespaces) reload(s *server) error {
	set, err := n.read()
	if err != nil {
		return err
	}
	return s.replaceVTPMs(set.VTPMs(), n.grant, func() error {
		return s.replaceDoors(set.Sockets(), func() { n.set.Store(set) })
	})
}

// reloadOnSignal reloads whenever SIGHUP comes.
func (n *namespaces) reloadOnSignal(s *server, l *log.Logger) (stop func()) {
	return onSignal(reloadSignal, func() {
		if err := n.reload(s); err != nil {
			l.Printf("SIGHUP: nothing has changed: %v", err)
			return
		}
		l.Printf("SIGHUP: %d namespaces from %s", len(n.set.Load().Namespaces), n.path)
	})
}
