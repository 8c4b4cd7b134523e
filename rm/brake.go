package rm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// Brakes (U11) slow down guessing where the chip does not: it counts no failure of a noDA key and none of a hierarchy, and answers thousands a second. They
// count failed authorizations of a principal, of a key that was loaded from a caller's blob, and on hierarchies: of a principal, and of all together. The
// storage root key has no brake, or anybody could keep everybody from it. A session that is bound tells with every command whether the auth value that it is
// bound by was right, so each failure of it counts. Root is not held back.
//
// An empty password is no guess: it is neither counted nor refused, so keys without a PIN always work.

// A Brake counts failed authorizations. One is forgotten every so often.
type Brake struct {
	Failures float64   // that were not forgotten at Last
	Last     time.Time // when one failed last
}

// A brakeRule says what failures lead to: first the next try must wait for a pause after the last failure, then for a longer time it is refused.
type brakeRule struct {
	whose   string
	slow    float64
	pause   time.Duration
	refuse  float64
	refusal time.Duration
	forget  time.Duration // after which one failure is forgotten
}

var (
	principalBrake = brakeRule{"of this user", 5, time.Second, 20, 5 * time.Minute, 10 * time.Minute}
	keyBrake       = brakeRule{"with this key", 5, time.Second, 20, 5 * time.Minute, 10 * time.Minute}
	hierarchyBrake = brakeRule{"of this user on a hierarchy", 3, 0, 3, 20 * time.Minute, 20 * time.Minute}          // three an hour
	everybodyBrake = brakeRule{"of all users together on hierarchies", 20, 0, 20, 3 * time.Minute, 3 * time.Minute} // twenty an hour
)

// at is how many failures count now.
func (b *Brake) at(now time.Time, r *brakeRule) float64 {
	return max(0, b.Failures-float64(now.Sub(b.Last))/float64(r.forget))
}

func (b *Brake) fail(now time.Time, r *brakeRule) {
	b.Failures, b.Last = b.at(now, r)+1, now
}

// until is when the next try may be, and whether it is refused until then, not only slowed down.
func (b *Brake) until(now time.Time, r *brakeRule) (until time.Time, refused bool) {
	switch { // one that is half forgotten counts whole
	case math.Ceil(b.Failures) >= r.refuse && now.Before(b.Last.Add(r.refusal)):
		return b.Last.Add(r.refusal), true
	case math.Ceil(b.at(now, r)) >= r.slow && now.Before(b.Last.Add(r.pause)):
		return b.Last.Add(r.pause), false
	}
	return time.Time{}, false
}

// A pull is a brake and the rule that it follows.
type pull struct {
	brake *Brake
	rule  *brakeRule
}

// isGuess tells whether authorization i could tell its caller something of a secret.
func isGuess(c *wire.Command, i int) bool {
	a := c.Auths()[i]
	return a.Session != wire.RSPassword || len(trimmed(a.HMAC)) > 0
}

// pulls are the brakes on authorization i of a command. With make, those that have not counted yet too.
func (s *Space) pulls(c *wire.Command, i int, make bool) []pull {
	memory := &s.manager.memory
	if i >= c.Shape.Auths || c.Handle(i) == uint32(tpm2.TPMRHNull) { // which has no secret
		if authSession := s.sessions[c.Auths()[i].Session]; authSession == nil || !authSession.bound {
			return nil
		}
		return []pull{{brakeOf(memory.Principals, s.principal, make), &principalBrake}}
	}
	handle := c.Handle(i)
	if wire.HandleType(handle) == tpm2.TPMHTPermanent {
		return []pull{{brakeOf(memory.Hierarchies, s.principal, make), &hierarchyBrake}, {&memory.Everybody, &everybodyBrake}}
	}
	pulls := []pull{{brakeOf(memory.Principals, s.principal, make), &principalBrake}}
	if o := s.objects[handle]; o != nil && o.key != noKey {
		pulls = append(pulls, pull{brakeOf(memory.Keys, hex.EncodeToString(o.key[:]), make), &keyBrake})
	}
	return pulls
}

func brakeOf[K comparable](brakes map[K]*Brake, of K, make bool) *Brake {
	b := brakes[of]
	if b == nil {
		if b = new(Brake); make {
			brakes[of] = b
		}
	}
	return b
}

// braked is how long a command must wait for its brakes, and the decision: one that a brake refuses is not to wait.
func (s *Space) braked(c *wire.Command, now time.Time) (wait time.Duration, refusal filter.Decision) {
	refusal = mayPass
	if s.isRoot() {
		return 0, refusal
	}
	for i := range c.Auths() {
		if !isGuess(c, i) {
			continue
		}
		for _, p := range s.pulls(c, i, false) {
			until, refused := p.brake.until(now, p.rule)
			if refused {
				refusal = filter.Decision{RC: rcBrake, Rule: "U11", Why: fmt.Sprintf("%.0f failed authorizations %s; refused until %s",
					p.brake.Failures, p.rule.whose, until.Format(time.DateTime))}
			}
			wait = max(wait, until.Sub(now))
		}
	}
	return wait, refusal
}

// failedAuth is which authorization a response code says that failed (Part 2, 6.6.3: the number of the session, from 1).
func failedAuth(rc tpm2.TPMRC) int { return max(0, int(rc>>8&7)-1) }

// noteFailure counts a failed authorization. What is no guess changes nothing that would have to be kept, which costs a disk's write: anybody can fail like
// that thousands of times a second.
func (m *Manager) noteFailure(c *wire.Command, s *Space, rc tpm2.TPMRC) {
	if s.isRoot() {
		return
	}
	i, now := failedAuth(rc), m.now()
	changed := false
	if i < len(c.Auths()) && isGuess(c, i) {
		for _, p := range s.pulls(c, i, true) {
			p.brake.fail(now, p.rule)
			changed = true
		}
	}
	if isCounted(rc) && s.filter().HasBudget() {
		changed = changed || !now.Before(m.memory.Lockout[s.principal])
		m.memory.Lockout[s.principal] = now.Add(lockoutPenalty)
	}
	if changed {
		m.keepMemory(now)
	}
}

// noteSuccess takes the brake off the keys whose PINs were right: whoever knows one is not guessing. His own failures with other keys still count.
func (m *Manager) noteSuccess(c *wire.Command, s *Space) {
	for i := range min(c.Shape.Auths, len(c.Auths())) {
		o := s.objects[c.Handle(i)]
		if o == nil || o.key == noKey || !isGuess(c, i) {
			continue
		}
		if key := hex.EncodeToString(o.key[:]); m.memory.Keys[key] != nil {
			delete(m.memory.Keys, key)
			m.keepMemory(m.now())
		}
	}
}

// noKey is the key of what has no brake of its own.
var noKey [32]byte

// keyOf identifies a key that was loaded from a blob by its public area, which is never encrypted: what differs between two blobs of it is the PIN.
func keyOf(c *wire.Command) [32]byte {
	if c.Code != tpm2.TPMCCLoad {
		return noKey
	}
	return sha256.Sum256(c.Param("inPublic"))
}

// refusalLeft answers what a client asks who was refused with rcBrake: for how many seconds yet. It asks for the code as a TPM_PT, of which no specification
// has one there, so that whoever has a chip for his manager is told of no such property. One that was not refused on this connection is told of the brake on his
// user, so that he can know before he tries. 0: until something else changes than the time.
func (s *Space) refusalLeft() []byte {
	now, until := s.manager.now(), s.refusedUntil
	if b := s.manager.memory.Principals[s.principal]; b != nil && !s.isRoot() && !now.Before(until) {
		if end, refused := b.until(now, &principalBrake); refused {
			until = end
		}
	}
	left := max(0, math.Ceil(until.Sub(now).Seconds()))
	return wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint8(0).Uint32(uint32(tpm2.TPMCapTPMProperties)).Uint32(1).
		Uint32(uint32(rcBrake)).Uint32(uint32(left)).Bytes()
}
