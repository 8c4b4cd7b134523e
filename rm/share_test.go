package rm

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A mix is what the callers of a crowd do, one piece as often as another, and for how long it keeps the chip. What the manager answers itself hardly does.
type mix []time.Duration

const signature = 3 * time.Millisecond

var (
	signers = mix{signature, signature, signature, signature, signature, signature, 700 * time.Microsecond, 500 * time.Microsecond, 10 * time.Microsecond, 10 * time.Microsecond}
	makers  = mix{300 * time.Millisecond} // of keys
)

// A line is many callers who always want a turn, at a chip that is as fast as its clock is told.
type line struct {
	turns
	random *rand.Rand
	at     time.Time
	next   func()          // the caller whose turn it was comes again
	waits  []time.Duration // of signatures
	had    []int           // turns, by caller
}

func newLine(callers int) *line {
	l := &line{random: rand.New(rand.NewPCG(1, 2)), at: time.Unix(0, 0), had: make([]int, callers)}
	l.clock = func() time.Time { return l.at }
	l.take(root, nil, nil)
	return l
}

// come has a caller wait for his turn.
func (l *line) come(principal uint32, caller int, does mix) {
	came, cost := l.at, does[l.random.IntN(len(does))]
	l.enter(principal, func() {
		l.had[caller]++
		if l.at = l.at.Add(cost); cost == signature {
			l.waits = append(l.waits, l.at.Sub(came))
		}
		l.next = func() { l.come(principal, caller, does) }
	})
}

// run gives turns until there are so many signatures.
func (l *line) run(signatures int) {
	for w := l.giveLocked(); len(l.waits) < signatures; w = l.giveLocked() {
		w.work()
		l.next()
	}
}

// Where fifty users with twenty connections each always have something to do, a signature takes hardly ever longer than a chip would take for it of which every
// connection has an even share, whatever else its user and the others do.
func TestSignaturesHaveTheirShare(t *testing.T) {
	const users, each, rounds = 50, 20, 10
	for name, others := range map[string][]mix{"alone": nil, "beside one who makes keys": {makers}, "beside five who make keys": {makers, makers, makers, makers, makers}} {
		all := append(slices.Repeat([]mix{signers}, users), others...)
		l := newLine(len(all) * each)
		for i := range l.had {
			l.come(uint32(1000+i/each), i, all[i/each])
		}
		l.run(rounds * users * each)
		l.waits = l.waits[2*users*each:] // at first all come at once
		slices.Sort(l.waits)
		p99, share := l.waits[len(l.waits)*99/100], time.Duration(len(l.had))*signature
		t.Logf("%s: median %v, p99 %v, share %v", name, l.waits[len(l.waits)/2], p99, share)
		if p99 > share*12/10 {
			t.Errorf("%s: 99 of 100 signatures take up to %v, more than 1.2 of %v", name, p99, share)
		}
		if fewest := slices.Min(l.had[:users*each]); fewest < rounds {
			t.Errorf("%s: somebody had only %d turns", name, fewest)
		}
	}
}
