// Package filter decides which commands a caller may send to a TPM that others depend on too. A Filter is an immutable table
// with one row per command; a command without a row, and the zero verdict, are denials. It knows objects by what rm remembers
// of them and never talks to a chip.
package filter

import (
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

// IsParent tells whether keys can be created and loaded below o.
func (o Object) IsParent() bool {
	return o.Attributes&(wire.Restricted|wire.Decrypt|wire.Sign) == wire.Restricted|wire.Decrypt
}

// HasDA tells whether failed authorizations of o count towards the lockout of the whole chip.
func (o Object) HasDA() bool { return o.Attributes&wire.NoDA == 0 }

// A Holder knows what a caller's handles stand for.
type Holder interface {
	// Object gives what the caller holds under a transient handle, or a persistent object that all may use.
	Object(handle uint32) (Object, bool)
	// HoldsSession tells whether handle is an authorization session of the caller's own.
	HoldsSession(handle uint32) bool
}

// A Decision is what a filter says of one command.
type Decision struct {
	Allowed bool
	RC      tpm2.TPMRC // the answer to the caller, when not allowed
	Rule    string     // the universal check ("U4") or the command whose row decided
	Why     string
}

func denied(rc tpm2.TPMRC, rule, why string) Decision { return Decision{RC: rc, Rule: rule, Why: why} }

// A Filter is a profile: what its holder may send. It never changes.
type Filter struct {
	name string
	rows map[tpm2.TPMCC]*row
}

// Name is the profile's name.
func (f *Filter) Name() string { return f.name }

// Allows tells whether the filter lets the command through under some condition.
func (f *Filter) Allows(code tpm2.TPMCC) bool {
	r := f.rows[code]
	return r != nil && r.verdict != Deny
}

// Answers tells whether the manager answers the command itself.
func (f *Filter) Answers(code tpm2.TPMCC) bool {
	r := f.rows[code]
	return r != nil && r.verdict == Answer
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
	r := f.rows[c.Code]
	if r == nil || r.verdict == Deny {
		return f.denial(c)
	}
	if d := checkSessions(c, holder); !d.Allowed {
		return d
	}
	if d := r.checkHandles(c, holder); !d.Allowed {
		return d
	}
	return r.checkConditions(c, holder)
}

func (f *Filter) denial(c *wire.Command) Decision {
	why := "the profile does not list it"
	if r := f.rows[c.Code]; r != nil {
		why = r.reason
	}
	return denied(RCDenied, c.Shape.Name, why)
}

var allowed = Decision{Allowed: true}

// checkSessions is U4: passwords and the caller's own HMAC sessions, none twice, no audit, encryption only where the
// command has it and once each way.
func checkSessions(c *wire.Command, holder Holder) Decision {
	var once uint8
	for i, a := range c.Auths() {
		if a.Session == wire.RSPassword {
			if a.Attributes&^wire.ContinueSession != 0 {
				return denied(RCDenied, "U4", "a password has no session attributes")
			}
			continue
		}
		if d := checkSession(c, i, holder); !d.Allowed {
			return d
		}
		crypts := a.Attributes & (wire.SessionDecrypt | wire.SessionEncrypt)
		if once&crypts != 0 {
			return denied(RCDenied, "U4", "two sessions encrypt the same parameter")
		}
		once |= crypts
	}
	return allowed
}

func checkSession(c *wire.Command, i int, holder Holder) Decision {
	a := c.Auths()[i]
	switch {
	case wire.HandleType(a.Session) != tpm2.TPMHTHMACSession:
		return denied(RCDenied, "U4", "only passwords and HMAC sessions authorize")
	case !holder.HoldsSession(a.Session):
		return denied(rcSession+tpm2.TPMRC(i), "U4", "not a session of the caller's own")
	case a.Attributes&^(wire.ContinueSession|wire.SessionDecrypt|wire.SessionEncrypt) != 0:
		return denied(RCDenied, "U4", "audit sessions let callers disturb one another")
	case a.Attributes&wire.SessionDecrypt != 0 && !c.Shape.MayDecrypt():
		return denied(RCDenied, "U4", "this command has no parameter to decrypt")
	case a.Attributes&wire.SessionEncrypt != 0 && !c.Shape.MayEncrypt():
		return denied(RCDenied, "U4", "this command has no response to encrypt")
	case usedBefore(c, i):
		return denied(RCDenied, "U4", "a session stands twice in one command")
	}
	return allowed
}

func usedBefore(c *wire.Command, i int) bool {
	for _, earlier := range c.Auths()[:i] {
		if earlier.Session == c.Auths()[i].Session {
			return true
		}
	}
	return false
}

// checkHandles is U3: each handle of the handle area by the row's rule for its place.
func (r *row) checkHandles(c *wire.Command, holder Holder) Decision {
	for i, rule := range r.handles {
		handle := c.Handle(i)
		object, held := holder.Object(handle)
		if wire.IsTransient(handle) && !held {
			return denied(rcHandle+tpm2.TPMRC(i), "U3", "not an object of the caller's own")
		}
		if handle == wire.SRK && !held {
			return denied(RCNoSuch, "U9", "no storage root key is at 0x81000001")
		}
		if !rule.fits(handle, held, object) {
			return denied(RCDenied, c.Shape.Name, rule.why)
		}
	}
	return allowed
}

func (r *row) checkConditions(c *wire.Command, holder Holder) Decision {
	for _, condition := range r.conditions {
		if !condition.holds(c, holder) {
			return denied(condition.rc, c.Shape.Name, condition.why)
		}
	}
	return allowed
}

// DARelevant is the core of U6: it tells whether a failed authorization of handle i would count towards the lockout of the
// whole chip.
func DARelevant(c *wire.Command, i int, holder Holder) bool {
	if i >= c.Shape.Auths {
		return false
	}
	object, held := holder.Object(c.Handle(i))
	return held && object.HasDA()
}

// DAFailure tells whether a response code says that an authorization failed: TPM_RC_AUTH_FAIL, which the chip counts, or
// TPM_RC_BAD_AUTH, which it does not, with whatever session number.
func DAFailure(rc tpm2.TPMRC) bool {
	return rc&0xBF == tpm2.TPMRCAuthFail || rc&0xBF == tpm2.TPMRCBadAuth
}
