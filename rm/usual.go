package rm

import (
	"time"

	"github.com/google/go-tpm/tpm2"
)

// A machine that halts for half a second does so in somebody's turn. Among fifty who always want the chip he would wait for half a minute afterwards, though it was
// none of his doing: so a turn is charged at most for some times what his turns with that command take usually. Making keys is charged in full: how long that takes is
// chance.
//
// Usual is what his own turns take, so that nobody makes anything cheaper for somebody else, and only of what the chip has done, so that he makes nothing cheaper
// by having it refused.

const (
	atMost      = 4    // times the usual
	settles     = 32   // turns, until the usual is what they take now
	mostUsually = 4096 // that are remembered
)

// A usage is what a principal does.
type usage struct {
	principal uint32
	code      tpm2.TPMCC
}

// usual is how long turns take.
type usual struct {
	of  map[usage]time.Duration
	all map[tpm2.TPMCC]time.Duration // of everybody, for who comes anew
}

func newUsual() usual { return usual{map[usage]time.Duration{}, map[tpm2.TPMCC]time.Duration{}} }

// excess is what nobody is charged for of a turn.
func (u usual) excess(of usage, took time.Duration) time.Duration {
	if makesKeys[of.code] {
		return 0
	}
	everybodys, known := u.all[of.code]
	if !known {
		everybodys = took // the first
	}
	his, known := u.of[of]
	if !known {
		his = everybodys
	}
	if len(u.of) >= mostUsually {
		clear(u.of)
	}
	charged := min(took, atMost*his)
	u.of[of], u.all[of.code] = nearer(his, charged), nearer(everybodys, charged)
	return took - charged
}

// nearer is a usual time after another turn.
func nearer(before, took time.Duration) time.Duration { return before + (took-before)/settles }
