package filter

import (
	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// checkUniversal is what holds in every profile: sessions that are well used (U4), and one's own handles only (U3).
func (f *Filter) checkUniversal(c *wire.Command, holder Holder) Decision {
	if d := f.checkSessions(c, holder); !d.Allowed {
		return d
	}
	for i := range c.Shape.Handles {
		if !isOwn(c.Handle(i), holder) {
			return denied(rcHandle+tpm2.TPMRC(i), "U3", "not an object or session of the caller's own")
		}
	}
	if c.Code == tpm2.TPMCCFlushContext && !mayFlush(c, holder) {
		return denied(RCNoValue, "U3", "not a handle of the caller's own")
	}
	return allowed
}

// isOwn tells whether a handle names nothing that belongs to another caller.
func isOwn(handle uint32, holder Holder) bool {
	switch {
	case wire.IsTransient(handle):
		_, held := holder.Object(handle)
		return held
	case wire.IsAuthSession(handle):
		return holder.HoldsSession(handle)
	}
	return true
}

func mayFlush(c *wire.Command, holder Holder) bool {
	cursor := wire.NewCursor(c.Param("flushHandle"))
	handle := cursor.Uint32()
	return (wire.IsTransient(handle) || wire.IsAuthSession(handle)) && (isOwn(handle, holder) || holder.SavedSession(handle))
}

// checkSessions is U4: passwords and the caller's own sessions, none twice, encryption only where the command has it and once each way, audit only where
// the profile lets it be.
func (f *Filter) checkSessions(c *wire.Command, holder Holder) Decision {
	var once uint8
	for i, a := range c.Auths() {
		if a.Session == wire.RSPassword {
			if a.Attributes&^wire.ContinueSession != 0 {
				return denied(RCDenied, "U4", "a password has no session attributes")
			}
			continue
		}
		if d := f.checkSession(c, i, holder); !d.Allowed {
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

const auditAttributes = wire.SessionAudit | wire.AuditExclusive | wire.AuditReset

func (f *Filter) checkSession(c *wire.Command, i int, holder Holder) Decision {
	a := c.Auths()[i]
	switch {
	case !wire.IsAuthSession(a.Session):
		return denied(RCDenied, "U4", "only passwords and sessions authorize")
	case !holder.HoldsSession(a.Session):
		return denied(rcSession+tpm2.TPMRC(i), "U4", "not a session of the caller's own")
	case a.Attributes&auditAttributes != 0 && !f.all(func(p *profile) bool { return p.audit }):
		return denied(RCDenied, "U4", "audit sessions let callers disturb one another")
	case a.Attributes&^(wire.ContinueSession|wire.SessionDecrypt|wire.SessionEncrypt|auditAttributes) != 0:
		return denied(RCDenied, "U4", "reserved session attributes")
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
