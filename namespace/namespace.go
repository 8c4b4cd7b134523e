// Package namespace reads which callers of tpmkeyd get what: /etc/tpmkey/namespaces.toml. A namespace names callers by uid, gid, cgroup or the socket that they come in
// by, and gives them a filter, a chip, a locality and limits.
//
// The first namespace of the file that a caller fits wins, so what is special stands before what is general. A namespace with a socket of its own is for those
// who come in by that socket, and nobody else gets in there.
package namespace

import (
	"io/fs"
	"slices"
	"strings"

	"tpmkey.example/filter"
)

// Path is where the administrator writes them.
const Path = "/etc/tpmkey/namespaces.toml"

// A Namespace is some callers and what they get.
type Namespace struct {
	Name string
	Line int // of the file, where it begins

	UIDs, GIDs []IDRange // nil: all
	Cgroups    []string  // nil: all. One that ends in / means all below it
	Socket     *Socket   // nil: the one for everybody
	VTPM       bool      // it has a virtual TPM. When it names no callers besides, nobody else is in it

	Filter   *filter.Filter // nil: the service's own
	Source   string         // of the filter, as the file names it
	Chip     int            // AnyChip: the first there is
	Locality uint8
	Limits   Limits
}

// AnyChip is the first chip there is.
const AnyChip = -1

// An IDRange is some uids or gids.
type IDRange struct{ First, Last uint32 }

// A Socket is one that only some callers are let to, because it is mounted into their container or because of its owner and mode.
type Socket struct {
	Path     string
	Mode     fs.FileMode
	UID, GID int // -1: the service's own
}

// Limits are what a caller may hold. Zero: as many as everybody.
type Limits struct {
	Connections               int // of one user
	Objects, ObjectsPerUser   int
	Sessions, SessionsPerUser int
}

// A Caller is who wants to use a TPM. All of it must be the kernel's word.
type Caller struct {
	UID     uint32
	GIDs    []uint32 // the group and the supplementary ones
	Cgroups []string // of the process: one path in each hierarchy. nil: in none
	Socket  string   // the path of the socket that he came in by
	Hidden  bool     // his process cannot be asked: he may have other groups and cgroups than these
}

// A Set is a whole file.
type Set struct{ Namespaces []Namespace }

// Of gives the namespace of a caller. Nil: he is nobody special; refused: he came in by a socket that is not for him, or hides what tells whether he is in a namespace,
// which may be one that gives less.
func (s *Set) Of(c Caller) (found *Namespace, refused bool) {
	for i := range s.Namespaces {
		if n := &s.Namespaces[i]; n.Socket != nil && n.Socket.Path == c.Socket {
			if n.fits(c) {
				return n, false
			}
			return nil, true
		}
	}
	for i := range s.Namespaces {
		n := &s.Namespaces[i]
		switch {
		case n.Socket != nil || n.isForVTPM():
		case n.fits(c):
			return n, false
		case c.Hidden && n.couldFit(c):
			return nil, true
		}
	}
	return nil, false
}

// couldFit tells whether a caller who hides his groups and cgroups may be in a namespace.
func (n *Namespace) couldFit(c Caller) bool { return inAny(n.UIDs, []uint32{c.UID}) }

func (n *Namespace) fits(c Caller) bool {
	return inAny(n.UIDs, []uint32{c.UID}) && inAny(n.GIDs, c.GIDs) && belowAny(n.Cgroups, c.Cgroups)
}

func inAny(ranges []IDRange, ids []uint32) bool {
	return ranges == nil || slices.ContainsFunc(ids, func(id uint32) bool {
		return slices.ContainsFunc(ranges, func(r IDRange) bool { return r.First <= id && id <= r.Last })
	})
}

func belowAny(patterns, cgroups []string) bool {
	return patterns == nil || slices.ContainsFunc(cgroups, func(cgroup string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			return cgroup == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(cgroup, pattern)
		})
	})
}

// AsksForCgroups tells whether a caller's cgroup makes a difference to somebody.
func (s *Set) AsksForCgroups() bool {
	return slices.ContainsFunc(s.Namespaces, func(n Namespace) bool { return n.Cgroups != nil })
}

// AsksForGroups tells whether a caller's groups make a difference to somebody.
func (s *Set) AsksForGroups() bool {
	return slices.ContainsFunc(s.Namespaces, func(n Namespace) bool { return n.GIDs != nil })
}

// VTPMs are those that have a virtual TPM.
func (s *Set) VTPMs() (with []Namespace) {
	for _, n := range s.Namespaces {
		if n.VTPM {
			with = append(with, n)
		}
	}
	return with
}

// isForVTPM tells whether nobody comes in but through the virtual TPM.
func (n *Namespace) isForVTPM() bool { return n.VTPM && n.Socket == nil && n.isForAll() }

// Sockets are those that namespaces have of their own.
func (s *Set) Sockets() (sockets []Socket) {
	for _, n := range s.Namespaces {
		if n.Socket != nil {
			sockets = append(sockets, *n.Socket)
		}
	}
	return sockets
}
