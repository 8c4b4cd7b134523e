package filter

import (
	"strings"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// An Explanation is what a filter says of a command to somebody who asks and has not sent it.
type Explanation struct {
	Command string // its name, with the code
	Decision
	Answered    bool   // by the manager, when it is allowed
	Conditional bool   // only a whole command shows whether the conditions of its rows hold
	Needs       []Need // of a whole command that is allowed: what its bytes do not show
	Rules       []Rule // by which it was decided: a universal check, or the row of each profile
}

// A Rule is a universal check or a row, under the name of the check or of the profile.
type Rule struct{ Name, Text string }

// universal are the checks that hold in every profile, as far as commands are judged by them.
var universal = map[string]string{
	"U1": "a message is one command, and every byte of it has its place",
	"U2": "commands that are not known are blocked",
	"U3": "handles are the caller's own, or such as the profile names",
	"U4": "only passwords and the caller's own sessions authorize, and sessions do what the command has",
	"U9": "a persistent object must be there, and the storage root key must be one",
}

// Explain says what the filter makes of a command of which only the code is known. Caller is the uid that asks, nil for anybody.
func (f *Filter) Explain(code tpm2.TPMCC, caller *uint32) Explanation {
	c := wire.Command{Code: code, Shape: wire.ShapeOf(code)}
	if c.Shape == nil && !f.Allows(code) {
		return f.explained(code, Malformed(wire.ErrUnknown))
	}
	if c.Shape == nil {
		c.Shape = &wire.Shape{Code: code, Name: commandName(code)}
	}
	if !f.Allows(code) {
		return f.explained(code, f.denial(&c))
	}
	e := f.explained(code, f.checkCaller(&c, &guess{caller}))
	e.Conditional = e.Allowed && f.hasConditions(code)
	if s := wire.ShapeOf(code); e.Allowed && (s == nil || s.NameOnly()) {
		e.Needs = []Need{{"the chip has this command", RCDenied}}
	}
	return e
}

// ExplainCommand says what the filter makes of a whole command: all that its bytes decide, and what else must be so.
func (f *Filter) ExplainCommand(command []byte, caller *uint32) Explanation {
	h, _ := wire.ParseHeader(command)
	code := tpm2.TPMCC(h.Code)
	c, err := wire.Parse(command)
	switch {
	case (err == wire.ErrUnknown || err == nil && c.Shape.NameOnly()) && f.Allows(code):
		e := f.Explain(code, caller)
		if e.Allowed {
			e.Needs = append(e.Needs, Need{"the objects and sessions that it names are the caller's own", rcHandle})
		}
		return e
	case err != nil:
		return f.explained(code, Malformed(err))
	}
	g := &guess{caller}
	e := f.explained(code, f.Check(&c, g))
	if e.Allowed {
		e.Needs = g.needs(f, &c)
	}
	return e
}

// checkCaller holds a command against what its rows say of who calls.
func (f *Filter) checkCaller(c *wire.Command, holder Holder) Decision {
	for _, p := range f.profiles {
		for _, l := range p.lookup(c.Code).clauses {
			if l.subject != "caller" {
				continue
			}
			if d := l.check(c, holder); !d.Allowed {
				return d
			}
		}
	}
	return allowed
}

func (f *Filter) hasConditions(code tpm2.TPMCC) bool {
	return !f.all(func(p *profile) bool { return len(p.lookup(code).clauses) == 0 })
}

// explained puts a decision together with the rules behind it.
func (f *Filter) explained(code tpm2.TPMCC, d Decision) Explanation {
	e := Explanation{Command: commandTitle(code), Decision: d, Answered: d.Allowed && f.Answers(code)}
	if text, ok := universal[d.Rule]; ok {
		e.Rules = []Rule{{d.Rule, text}}
		return e
	}
	for _, p := range f.profiles {
		e.Rules = append(e.Rules, Rule{"profile " + p.name, p.rowText(code)})
	}
	return e
}

func commandTitle(code tpm2.TPMCC) string {
	name, number := commandName(code), hexCode(code)
	if code == 0 {
		return "none"
	}
	if name == number {
		return number
	}
	return name + " (" + number + ")"
}

// rowText is the row for a command as the profile's text has it.
func (p *profile) rowText(code tpm2.TPMCC) string {
	r := p.lookup(code)
	if r == nil {
		return "the profile does not list it"
	}
	return strings.TrimSuffix(r.String(), "\n")
}
