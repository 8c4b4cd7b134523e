package filter

import (
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// A profile says what may be sent: its own rows, then those of the profile that it starts from.
type profile struct {
	name       string
	base       *profile // nil: none
	reason     string
	audit      bool // sessions may audit
	unbudgeted bool // no lockout budget holds (U6)
	rows       []*row
	index      map[tpm2.TPMCC]*row // of the rows for one command

	listed map[uint32]bool     // handles that a row names by number
	whole  map[tpm2.TPMHT]bool // kinds of handles that a row admits altogether
	free   bool                // some row looks at fewer handles than its command has
}

// A row is what a profile says of one command, or of a range of them: the verdict, why, and the clauses that must all hold.
type row struct {
	verdict     Verdict
	first, last tpm2.TPMCC
	reason      string
	clauses     []clause
}

// A clause says what one thing in a command may be: "handle 1 is owner or null".
type clause struct {
	subject string
	handle  int // 1 to 3; 0: not about a handle
	words   []word
}

// A word is one of the things that the subject of a clause may be.
type word struct {
	text   string
	holds  func(query) bool
	number uint32     // of the handle that it names, if any
	kind   tpm2.TPMHT // of the handles that it admits altogether, if named is false
	whole  bool       // it admits all handles of kind
}

// A query is what words look at.
type query struct {
	command *wire.Command
	holder  Holder
	guess   *guess // the holder, if it only supposes what the caller has
	handle  uint32
	object  Object
	held    bool
	param   []byte
}

// lookup finds the row of a command: the profile's own, then its ranges, then what it starts from.
func (p *profile) lookup(code tpm2.TPMCC) *row {
	for ; p != nil; p = p.base {
		if r := p.index[code]; r != nil {
			return r
		}
		for _, r := range p.rows {
			if r.first <= code && code <= r.last {
				return r
			}
		}
	}
	return nil
}

// check holds a command against each clause.
func (r *row) check(c *wire.Command, holder Holder) Decision {
	for i := range r.clauses {
		if d := r.clauses[i].check(c, holder); !d.Allowed {
			return d
		}
	}
	return allowed
}

func (l *clause) check(c *wire.Command, holder Holder) Decision {
	q := l.query(c, holder)
	for i := range l.words {
		if l.words[i].holds(q) {
			return allowed
		}
	}
	if l.handle > 0 && !q.held && l.names(q.handle) && wire.IsPersistent(q.handle) {
		return denied(RCNoSuch, "U9", fmt.Sprintf("nothing that may be used is at 0x%x", q.handle))
	}
	return denied(RCDenied, c.Shape.Name, l.subject+" is not "+l.text())
}

func (l *clause) query(c *wire.Command, holder Holder) query {
	q := query{command: c, holder: holder}
	q.guess, _ = holder.(*guess)
	switch {
	case l.handle > 0:
		q.handle = c.Handle(l.handle - 1)
		q.object, q.held = holder.Object(q.handle)
	default:
		q.param = c.Param(l.subject)
	}
	return q
}

// names tells whether a word is the number of a handle.
func (l *clause) names(handle uint32) bool {
	return slices.ContainsFunc(l.words, func(w word) bool { return w.number == handle && handle != 0 })
}

func (l *clause) text() string {
	texts := make([]string, len(l.words))
	for i, w := range l.words {
		texts[i] = w.text
	}
	return join(texts)
}

// survey notes which handles the rows that let commands through name, and whether some row lets any handle stand in some place. What a row of one's own
// stands before is not looked at.
func (p *profile) survey() {
	p.listed, p.whole = map[uint32]bool{}, map[tpm2.TPMHT]bool{}
	rows := p.rows
	if p.base != nil {
		rows = p.flat().rows
	}
	p.free = false
	for _, r := range rows {
		p.free = p.free || r.verdict == Allow && r.looksAtHandles() < r.handles()
		for _, l := range r.clauses {
			for _, w := range l.words {
				p.listed[w.number] = true
				p.whole[w.kind] = p.whole[w.kind] || w.whole
			}
		}
	}
	delete(p.listed, 0)
}

func (r *row) looksAtHandles() (n int) {
	for _, l := range r.clauses {
		if l.handle > 0 {
			n++
		}
	}
	return n
}

// handles is how many handles a row's command has, or the most of all for a range.
func (r *row) handles() int {
	if shape := wire.ShapeOf(r.first); shape != nil && r.first == r.last {
		return shape.Handles
	}
	return 3
}
