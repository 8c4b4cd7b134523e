package rm

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// authMemory remembers which password last succeeded for which key, as a keyed hash: the same one cannot fail, and so needs no look
// at the chip's lockout counter.
type authMemory struct {
	key   [32]byte
	known map[[32]byte]knownAuth // by the key's blob
}

type knownAuth struct {
	sum   [32]byte // keyed hash of the password
	whose uint32   // the principal who used it first; root for what is persistent, and everybody's
}

// maxAuthMemory is how many keys are remembered. Beyond that those of the principal who has the most are forgotten, which costs him one look each: where the
// budget is used up, they are refused.
const maxAuthMemory = 4096

func newAuthMemory() authMemory {
	a := authMemory{known: map[[32]byte]knownAuth{}}
	rand.Read(a.key[:])
	return a
}

func (a *authMemory) hash(blob [32]byte, password []byte) (sum [32]byte) {
	mac := hmac.New(sha256.New, a.key[:])
	mac.Write(blob[:])
	mac.Write(password)
	mac.Sum(sum[:0])
	return sum
}

func (a *authMemory) knows(blob [32]byte, password []byte) bool {
	known, ok := a.known[blob]
	sum := a.hash(blob, password)
	return ok && hmac.Equal(known.sum[:], sum[:])
}

// learn notes that a password is right.
func (a *authMemory) learn(blob [32]byte, password []byte, whose uint32) {
	if a.knows(blob, password) {
		return
	}
	if len(a.known) >= maxAuthMemory {
		a.forgetMost()
	}
	a.known[blob] = knownAuth{a.hash(blob, password), whose}
}

// unlearn notes that a password is wrong. That another one is right it does not deny: whoever guesses must not take the trust away from those who know.
func (a *authMemory) unlearn(blob [32]byte, password []byte) {
	if a.knows(blob, password) {
		delete(a.known, blob)
	}
}

func (a *authMemory) forgetMost() {
	count := map[uint32]int{}
	var most uint32
	for _, known := range a.known {
		if count[known.whose]++; count[known.whose] > count[most] {
			most = known.whose
		}
	}
	maps.DeleteFunc(a.known, func(_ [32]byte, known knownAuth) bool { return known.whose == most })
}

var mayPass = filter.Decision{Allowed: true}

// checkBudget is the core of U6: an authorization whose failure the chip would count goes through only while enough tries are left that
// no unprivileged caller can lock the chip. Root needs no budget.
func (m *Manager) checkBudget(c *wire.Command, s *Space) (filter.Decision, error) {
	if s.isRoot() || !s.filter().HasBudget() {
		return mayPass, nil
	}
	for i := range max(c.Shape.Auths, len(c.Auths())) {
		if !s.mayCount(c, i) {
			continue
		}
		if until := m.memory.Lockout[s.principal]; m.now().Before(until) {
			s.refusedUntil = until
			return filter.Decision{RC: rcBrake, Rule: "U6",
				Why: "this user's last failure was counted by the chip; refused until " + until.Format(time.DateTime) + ", or until the administrator sends SIGUSR1"}, nil
		}
		s.refusedUntil = time.Time{} // the chip forgets failures by its own rules
		if d, err := m.checkCounter(); err != nil || !d.Allowed {
			return d, err
		}
	}
	return mayPass, nil
}

// checkCounter asks the chip whether one more failure may be counted.
func (m *Manager) checkCounter() (filter.Decision, error) {
	failed, most, err := m.lockoutCounter()
	if err != nil {
		return filter.Decision{}, err
	}
	if failed >= budget(most) {
		return filter.Decision{RC: rcBrake, Rule: "U6",
			Why: fmt.Sprintf("%d of %d failed authorizations are counted, and the rest is kept from unprivileged callers", failed, most)}, nil
	}
	return mayPass, nil
}

// mayRemake tells whether an object may be loaded again below a persistent parent with the empty password, which was right once: the parent's may be another
// one since, and whoever holds such an object, or its saved context, could have the chip count a failure with each use.
func (m *Manager) mayRemake(parent uint32, keep holding) (tpm2.TPMRC, error) {
	p, err := m.persistentAt(parent, keep)
	if err != nil || !p.present {
		return rcReferenceH0, err
	}
	if !p.object.HasDA() || m.trusted.knows(p.blob(), nil) {
		return 0, nil
	}
	d, err := m.checkCounter()
	return d.RC, err
}

// noteRemade learns from the outcome.
func (m *Manager) noteRemade(parent uint32, rc tpm2.TPMRC) {
	p := m.persistents[parent]
	switch {
	case p == nil || !p.present:
	case rc == 0:
		m.trusted.learn(p.blob(), nil, root)
	case filter.DAFailure(rc):
		m.trusted.unlearn(p.blob(), nil)
	}
}

// blob identifies the auth value of a persistent object.
func (p *persistent) blob() [32]byte { return sha256.Sum256(p.response) }

// mayCount tells whether authorization i can fail and would be counted.
func (s *Space) mayCount(c *wire.Command, i int) bool {
	if i < len(c.Auths()) {
		if authSession := s.sessions[c.Auths()[i].Session]; authSession != nil && authSession.counts {
			return true
		}
	}
	return filter.DARelevant(c, i, s) && !s.manager.wasRight(c, i, s)
}

// budget is how far failures may have counted before unprivileged callers are stopped: a quarter of what locks the chip, at
// least 1, and at least two tries less than all.
func budget(maxAuthFail uint32) uint32 {
	if maxAuthFail < 2 {
		return 0
	}
	return min(max(1, maxAuthFail/4), maxAuthFail-2)
}

// lockoutCounter reads TPM_PT_LOCKOUT_COUNTER and TPM_PT_MAX_AUTH_FAIL, which are neighbours, from the chip: others fail too.
func (m *Manager) lockoutCounter() (failed, most uint32, err error) {
	values, err := m.properties(tpm2.TPMPTLockoutCounter, 2)
	if err != nil {
		return 0, 0, err
	}
	failed, ok1 := values[tpm2.TPMPTLockoutCounter]
	most, ok2 := values[tpm2.TPMPTMaxAuthFail]
	if !ok1 || !ok2 {
		return 0, 0, fmt.Errorf("the TPM does not tell its lockout counter")
	}
	return failed, most, nil
}

// wasRight tells whether authorization i is the password that last succeeded for the same key.
func (m *Manager) wasRight(c *wire.Command, i int, s *Space) bool {
	blob, ok := s.blobOf(c.Handle(i))
	return ok && i < len(c.Auths()) && c.Auths()[i].Session == wire.RSPassword && m.trusted.knows(blob, c.Auths()[i].HMAC)
}

// blobOf identifies the key blob behind a handle. Keys of one Name can have different auth values, so the Name would not do.
func (s *Space) blobOf(handle uint32) ([32]byte, bool) {
	if p := s.manager.persistents[handle]; p != nil && p.present {
		return p.blob(), true
	}
	if o := s.objects[handle]; o != nil {
		return o.blob, true
	}
	return [32]byte{}, false
}

// isCounted tells whether the chip has counted a failure: TPM_RC_AUTH_FAIL, of whatever session.
func isCounted(rc tpm2.TPMRC) bool { return rc&0xBF == tpm2.TPMRCAuthFail }

// noteOutcome learns from a response which authorizations are right and which are not, and that the storage root key may have changed. The command has
// the client's handles.
func (m *Manager) noteOutcome(c *wire.Command, s *Space, rc tpm2.TPMRC) {
	if hintsAtChange(rc) {
		m.forgetPersistents()
	}
	switch {
	case rc == 0:
		m.noteSuccess(c, s)
		for i := range min(c.Shape.Auths, len(c.Auths())) {
			if blob, ok := s.counted(c, i); ok {
				m.trusted.learn(blob, c.Auths()[i].HMAC, s.owner(c.Handle(i)))
			}
		}
	case filter.DAFailure(rc):
		m.noteFailure(c, s, rc)
		if blob, ok := s.counted(c, failedAuth(rc)); ok {
			m.trusted.unlearn(blob, c.Auths()[failedAuth(rc)].HMAC)
		}
	}
}

// counted is the key blob behind authorization i, if that is a password whose failure the chip counts.
func (s *Space) counted(c *wire.Command, i int) (blob [32]byte, ok bool) {
	if i >= len(c.Auths()) || c.Auths()[i].Session != wire.RSPassword || !filter.DARelevant(c, i, s) {
		return blob, false
	}
	return s.blobOf(c.Handle(i))
}

// owner is whose memory the password of a handle takes up.
func (s *Space) owner(handle uint32) uint32 {
	if wire.IsPersistent(handle) {
		return root
	}
	return s.principal
}
