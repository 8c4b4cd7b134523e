package rm

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// A mix is what the callers of a crowd do, one piece as often as another, and for how long it keeps the chip. What the manager answers itself hardly does.
type mix []time.Duration

const signature = 3 * time.Millisecond

var (
	signers = mix{signature, signature, signature, signature, signature, signature, 700 * time.Microsecond, 500 * time.Microsecond, 10 * time.Microsecond, 10 * time.Microsecond}
	makers  = mix{300 * time.Millisecond} // of keys
)

// commandOf is what keeps a chip for so long, where it is the chip that does it.
var commandOf = map[time.Duration]tpm2.TPMCC{signature: tpm2.TPMCCSign, 700 * time.Microsecond: tpm2.TPMCCLoad, 500 * time.Microsecond: tpm2.TPMCCStartAuthSession, 300 * time.Millisecond: tpm2.TPMCCCreate}

// A line is many callers who always want a turn, at a chip that is as fast as its clock is told.
type line struct {
	turns
	usual  usual
	halts  int // of the machine, each for half a second: one in so many turns; 0: none
	random *rand.Rand
	at     time.Time
	next   func()          // the caller whose turn it was comes again
	waits  []time.Duration // of signatures
	signed time.Duration   // the turns of those
	had    []int           // turns, by caller
	since  []time.Time     // when each came who waits for a signature
}

func newLine(callers int) *line {
	l := &line{usual: newUsual(), random: rand.New(rand.NewPCG(1, 2)), at: time.Unix(0, 0), had: make([]int, callers), since: make([]time.Time, callers)}
	l.clock = func() time.Time { return l.at }
	l.take(root, nil, nil)
	return l
}

// come has a caller wait for his turn.
func (l *line) come(principal uint32, caller int, does mix) {
	came, cost := l.at, does[l.random.IntN(len(does))]
	if cost == signature {
		l.since[caller] = came
	}
	l.enter(principal, func() {
		l.had[caller]++
		took := cost
		if l.halts > 0 && l.random.IntN(l.halts) == 0 {
			took += time.Second / 2
		}
		l.at = l.at.Add(took)
		if cost == signature {
			l.waits, l.signed = append(l.waits, l.at.Sub(came)), l.signed+took
			l.since[caller] = time.Time{}
		}
		l.excuse(l.usual.excess(usage{principal, commandOf[cost]}, took))
		l.next = func() { l.come(principal, caller, does) }
	})
}

// run gives turns until there are so many signatures.
func (l *line) run(signatures int) {
	for w := l.giveLocked(); len(l.waits) < signatures; w = l.giveLocked() {
		w.work()
		l.next()
	}
	for _, came := range l.since { // nobody is forgotten because he waits still
		if !came.IsZero() {
			l.waits = append(l.waits, l.at.Sub(came))
		}
	}
}

// Where fifty users with twenty connections each always have something to do, a signature takes hardly ever longer than a chip would take for it of which every
// connection has an even share, whatever else its user and the others do, and though the machine halts now and then.
func TestSignaturesHaveTheirShare(t *testing.T) {
	const users, each, rounds = 50, 20, 12
	for _, row := range []struct {
		name   string
		makers int
		halts  int
	}{
		{"alone", 0, 0},
		{"beside one who makes keys", 1, 0},
		{"beside five who make keys", 5, 0},
		{"on a machine that halts", 0, 1000},
	} {
		all := append(slices.Repeat([]mix{signers}, users), slices.Repeat([]mix{makers}, row.makers)...)
		l := newLine(len(all) * each)
		l.halts = row.halts
		for i := range l.had {
			l.come(uint32(1000+i/each), i, all[i/each])
		}
		l.run(rounds * users * each)
		share := time.Duration(len(l.had)) * l.signed / (rounds * users * each)
		l.waits = l.waits[2*users*each:] // at first all come at once
		slices.Sort(l.waits)
		p99 := l.waits[len(l.waits)*99/100]
		t.Logf("%s: median %v, p99 %v, share %v", row.name, l.waits[len(l.waits)/2], p99, share)
		if p99 > share*12/10 {
			t.Errorf("%s: 99 of 100 signatures take up to %v, more than 1.2 of %v", row.name, p99, share)
		}
		if fewest := slices.Min(l.had[:users*each]); fewest < rounds {
			t.Errorf("%s: somebody had only %d turns", row.name, fewest)
		}
	}
}
