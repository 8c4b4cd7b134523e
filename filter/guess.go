package filter

import (
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A guess is the Holder of somebody who asks about a command that nobody has sent. It supposes that handles and sessions are the caller's own, that persistent
// objects are there, and that each is of the kind that the profile asks for: what is denied then is denied whatever the caller holds, because there is
// nothing that a filter forbids for what is held. What was supposed, needs says.
type guess struct {
	caller *uint32 // nil: anybody
}

func (*guess) Object(handle uint32) (Object, bool) {
	return Object{}, wire.IsTransient(handle) || wire.IsPersistent(handle)
}

func (*guess) HoldsSession(uint32) bool { return true }

// SavedSession adds nothing to what HoldsSession supposes.
func (*guess) SavedSession(uint32) bool { return true }

func (g *guess) Caller() uint32 {
	if g.caller == nil {
		return 0
	}
	return *g.caller
}

func (g *guess) isAnybody() bool { return g != nil && g.caller == nil }

// A Need is what must be so for a command to get through and does not stand in its bytes, and what the caller is answered when it is not.
type Need struct {
	What string
	Else tpm2.TPMRC
}

// needs is what was supposed of a command that got through.
func (g *guess) needs(f *Filter, c *wire.Command) []Need {
	list := ownNeeds(c)
	for _, p := range f.profiles {
		r := p.lookup(c.Code)
		for i := range r.clauses {
			list = append(list, g.clauseNeeds(&r.clauses[i], c)...)
		}
	}
	var once []Need
	for _, n := range list {
		if !slices.Contains(once, n) {
			once = append(once, n)
		}
	}
	return once
}

// ownNeeds is what U3 and U4 ask of handles and sessions.
func ownNeeds(c *wire.Command) (list []Need) {
	for i, a := range c.Auths() {
		if a.Session != wire.RSPassword {
			list = append(list, Need{fmt.Sprintf("0x%08X is a session of the caller's own", a.Session), rcSession + tpm2.TPMRC(i)})
		}
	}
	for i := range c.Shape.Handles {
		if own := ownText(c.Handle(i)); own != "" {
			list = append(list, Need{own, rcHandle + tpm2.TPMRC(i)})
		}
	}
	if c.Code == tpm2.TPMCCFlushContext {
		cursor := wire.NewCursor(c.Param("flushHandle"))
		list = append(list, Need{ownText(cursor.Uint32()), RCNoValue})
	}
	return list
}

func ownText(handle uint32) string {
	switch {
	case wire.IsTransient(handle):
		return fmt.Sprintf("0x%08X is an object of the caller's own", handle)
	case wire.IsAuthSession(handle):
		return fmt.Sprintf("0x%08X is a session of the caller's own", handle)
	}
	return ""
}

// clauseNeeds is what a clause asks beyond that: those of its words that were supposed to hold.
func (g *guess) clauseNeeds(l *clause, c *wire.Command) []Need {
	handle := uint32(0)
	if l.handle > 0 {
		handle = c.Handle(l.handle - 1)
	}
	switch {
	case l.subject == "caller" && g.isAnybody():
		return []Need{{"the caller is " + l.text(), RCDenied}}
	case wire.IsPersistent(handle):
		return []Need{{fmt.Sprintf("%s is at 0x%08X", persistentText(handle), handle), RCNoSuch}}
	case wire.IsTransient(handle) && !l.takesAnyObject():
		return []Need{{fmt.Sprintf("%s, 0x%08X, is %s", l.subject, handle, join(l.ownWords())), RCDenied}}
	}
	return nil
}

func persistentText(handle uint32) string {
	if handle == wire.SRK {
		return "a storage root key"
	}
	return "an object"
}

// ownWords are the words of a clause that look at a transient object.
func (l *clause) ownWords() (texts []string) {
	for _, w := range l.words {
		if handleWords[w.text] != nil {
			texts = append(texts, w.text)
		}
	}
	return texts
}

func (l *clause) takesAnyObject() bool { return slices.Contains(l.ownWords(), "own object") }
