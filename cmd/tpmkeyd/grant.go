package main

import (
	"cmp"
	"errors"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
)

// A grant is what a caller gets: on which chip he may send what, from which locality, and how much he may hold.
type grant struct {
	namespace   string // whose rules these are; "": those of everybody
	filter      *filter.Filter
	chip        int // anyChip: the first there is
	locality    uint8
	limits      rm.Limits // zero: the manager's
	connections int       // of one principal at once; 0: maxConnections
	sealed      bool      // nothing of this changes any more
}

// is tells whether two grants give the same: a file that is read again makes new filters of the same texts.
func (g grant) is(other grant) bool {
	same := g.filter.String() == other.filter.String()
	g.filter, other.filter = nil, nil
	return same && g == other
}

// place is where the log says that a grant comes from.
func (g grant) place() string {
	if g.namespace == "" {
		return ""
	}
	return " namespace=" + g.namespace
}

// mostConnections is how many a principal may have at once.
func (g grant) mostConnections() int { return cmp.Or(g.connections, maxConnections) }

// A change is what somebody who holds a grant may want to do to it.
type change uint8

const (
	narrow change = iota // the filter: less than before
	seal                 // no more changes by anybody
	widen                // another filter, chip or locality
)

// A holder is whoever asks for a change, and how he holds what is to be changed.
type holder struct {
	node                       bool // an open /dev/tpms. What sockets and descriptors were made with stays
	openerIsRoot, callerIsRoot bool // with CAP_SYS_ADMIN in the initial user namespace: an opener may hand on what he opened, and a caller may have been handed it
}

var (
	errSealed  = errors.New("it is sealed: nothing of it changes any more; open another one")
	errFixed   = errors.New("what a socket or a descriptor was made with only gets narrower; ask for another descriptor: tpmkey run")
	errNotRoot = errors.New("only root widens, with CAP_SYS_ADMIN in the initial user namespace, and only what such a root has opened")
)

// changes says who may change what of a grant that is not sealed.
var changes = map[change]func(holder) error{
	narrow: anybody,
	seal:   anybody,
	widen:  rootOnNode,
}

func anybody(holder) error { return nil }

func rootOnNode(h holder) error {
	switch {
	case !h.node:
		return errFixed
	case !h.openerIsRoot || !h.callerIsRoot:
		return errNotRoot
	}
	return nil
}

// permits tells whether somebody may make a change, before anything is changed or answered.
func (g grant) permits(what change, h holder) error {
	if g.sealed {
		return errSealed
	}
	may := changes[what]
	if may == nil {
		return errNotRoot
	}
	return may(h)
}
