// Package filter decides which commands a caller may send to a TPM that others depend on too. A Filter is immutable: one or more profiles, each a table with
// a row per command, that must all agree. A command without a row, and the zero verdict, are denials. It knows objects by what rm remembers of them and
// never talks to a chip.
//
// Profiles are text. The built-in ones are in the folder profiles; an administrator writes others in the same form.
package filter

import (
	"strings"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// Codes that a filter answers with. The first is TSS2_RESMGR_TPM_RC_LAYER with TPM_RC_COMMAND_CODE: what the kernel's
// manager says of a command that it does not let through.
const (
	RCDenied  tpm2.TPMRC = 0x000B0143
	RCNoValue            = tpm2.TPMRCValue | 0x40 | 1<<8 // TPM_RC_VALUE of parameter 1: FlushContext of a handle that is not one's own
	RCNoSuch             = tpm2.TPMRCHandle | 1<<8       // TPM_RC_HANDLE of handle 1: nothing persistent is there
	rcHandle             = tpm2.TPMRC(0x910)             // TPM_RC_REFERENCE_H0: this handle names nothing that is loaded
	rcSession            = tpm2.TPMRC(0x918)             // TPM_RC_REFERENCE_S0
)

// A Verdict says whether a row lets its command through. The zero verdict denies.
type Verdict uint8

// The verdicts of a row.
const (
	Deny   Verdict = iota
	Allow          // once the row's conditions hold
	Answer         // likewise, and by the manager itself: the chip never sees the command
)

func (v Verdict) String() string { return [...]string{"deny", "allow", "answer"}[v] }

// An Object is what a decision must know of a key, taken from the public area that it was made or loaded with.
type Object struct {
	Type       tpm2.TPMAlgID
	Attributes uint32 // TPMA_OBJECT
	Sequence   bool   // a hash sequence, which is no key
}

// ObjectOf is the knowledge that a public area gives.
func ObjectOf(p *wire.Public) Object { return Object{Type: p.Type, Attributes: p.Attributes} }

// IsParent tells whether keys can be created and loaded below o. A keyed hash with these attributes is what keys are derived from (TPM2_CreateLoaded, Part 3, 12.9).
func (o Object) IsParent() bool {
	return o.Type != tpm2.TPMAlgKeyedHash && o.Attributes&(wire.Restricted|wire.Decrypt|wire.Sign) == wire.Restricted|wire.Decrypt
}

// HasDA tells whether failed authorizations of o count towards the lockout of the whole chip.
func (o Object) HasDA() bool { return o.Attributes&wire.NoDA == 0 }

// A Holder knows who calls, and what his handles stand for.
type Holder interface {
	// Object gives what the caller holds under a transient handle, or a persistent object that the filter lists.
	Object(handle uint32) (Object, bool)
	// HoldsSession tells whether handle is an authorization session of the caller's own.
	HoldsSession(handle uint32) bool
	// SavedSession tells whether handle is one whose context the caller's principal has saved.
	SavedSession(handle uint32) bool
	// Caller is the principal.
	Caller() uint32
}

// A Decision is what a filter says of one command.
type Decision struct {
	Allowed bool
	RC      tpm2.TPMRC // the answer to the caller, when not allowed
	Rule    string     // the universal check ("U4") or the command whose row decided
	Why     string
}

var allowed = Decision{Allowed: true}

func denied(rc tpm2.TPMRC, rule, why string) Decision { return Decision{RC: rc, Rule: rule, Why: why} }

// A Filter is what its holder may send: what all of its profiles let through. It never changes.
type Filter struct{ profiles []*profile }

// Narrow is f and further profiles: what both let through. Whoever holds a filter may narrow it.
func (f *Filter) Narrow(by *Filter) *Filter {
	return &Filter{append(append([]*profile{}, f.profiles...), by.profiles...)}
}

// Profiles is how many profiles must agree: one text may have many.
func (f *Filter) Profiles() int { return len(f.profiles) }

// Name is the profile's name, or the names of all, in the order of their coming.
func (f *Filter) Name() string {
	var names []string
	for _, p := range f.profiles {
		names = append(names, p.name)
	}
	return strings.Join(names, " narrowed by ")
}

// all tells whether every profile fulfils something. Without profiles nothing holds.
func (f *Filter) all(holds func(*profile) bool) bool {
	for _, p := range f.profiles {
		if !holds(p) {
			return false
		}
	}
	return len(f.profiles) > 0
}

// Allows tells whether the filter lets the command through under some condition.
func (f *Filter) Allows(code tpm2.TPMCC) bool {
	for _, p := range f.profiles {
		if r := p.lookup(code); r == nil || r.verdict == Deny {
			return false
		}
	}
	return len(f.profiles) > 0
}

// Answers tells whether the manager answers the command itself.
func (f *Filter) Answers(code tpm2.TPMCC) bool {
	for _, p := range f.profiles {
		if r := p.lookup(code); r != nil && r.verdict == Answer {
			return true
		}
	}
	return false
}

// HasBudget tells whether an unprivileged caller's failed authorizations are kept from locking the chip (U6).
func (f *Filter) HasBudget() bool { return !f.all(func(p *profile) bool { return p.unbudgeted }) }

// Lists tells whether some row names a handle by its number.
func (f *Filter) Lists(handle uint32) bool {
	return f.all(func(p *profile) bool { return p.free || p.listed[handle] })
}

// Listed gives the handles that rows name by their numbers.
func (f *Filter) Listed() []uint32 {
	var listed []uint32
	for _, p := range f.profiles {
		for handle := range p.listed {
			if f.Lists(handle) {
				listed = append(listed, handle)
			}
		}
	}
	return listed
}

// Shows tells whether the caller may see all handles of one kind that the chip has.
func (f *Filter) Shows(kind tpm2.TPMHT) bool {
	return f.all(func(p *profile) bool { return p.free || p.whole[kind] })
}

// Malformed is the decision about bytes that are no command: err is what wire.Parse said. The checks U1 and U5 of the policy are
// that parse; a malformed command never reaches a chip.
func Malformed(err error) Decision {
	if err == wire.ErrUnknown {
		return denied(RCDenied, "U2", "unknown commands are blocked")
	}
	return denied(wire.RCOf(err), "U1", err.Error())
}

// Check decides about a well-formed command of a caller who holds what holder knows.
func (f *Filter) Check(c *wire.Command, holder Holder) Decision {
	if !f.Allows(c.Code) {
		return f.denial(c)
	}
	if d := f.checkUniversal(c, holder); !d.Allowed {
		return d
	}
	for _, p := range f.profiles {
		if d := p.lookup(c.Code).check(c, holder); !d.Allowed {
			return d
		}
	}
	return allowed
}

func (f *Filter) denial(c *wire.Command) Decision {
	for _, p := range f.profiles {
		if r := p.lookup(c.Code); r != nil && r.verdict == Deny {
			return denied(RCDenied, c.Shape.Name, r.reason)
		}
	}
	return denied(RCDenied, c.Shape.Name, "the profile does not list it")
}
