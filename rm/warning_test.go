package rm_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A warner is a chip that answers some of its commands with a warning, a number of times.
type warner struct {
	raw *tpmtest.Conn

	mu     sync.Mutex
	rc     tpm2.TPMRC
	at     tpm2.TPMCC
	left   int
	sent   int
	paused time.Duration
}

func (w *warner) Send(command []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	if w.left > 0 && commandCode(command) == w.at {
		w.left--
		return wire.ErrorResponse(w.rc), nil
	}
	return w.raw.Send(command)
}

func (w *warner) arm(rc tpm2.TPMRC, at tpm2.TPMCC, times int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rc, w.at, w.left = rc, at, times
}

// pause takes no time, and counts.
func (w *warner) pause(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused += d
	return true
}

// spent is what was sent and waited since the last time.
func (w *warner) spent() (sent int, paused time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent, paused, w.sent, w.paused = w.sent, w.paused, 0, 0
	return sent, paused
}

func (w *warner) unused() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

var (
	anything  = []tpm2.TPMCC{tpm2.TPMCCCreatePrimary, tpm2.TPMCCLoad, tpm2.TPMCCSign, tpm2.TPMCCCreate, tpm2.TPMCCStartAuthSession, tpm2.TPMCCContextSave, tpm2.TPMCCContextLoad, tpm2.TPMCCFlushContext, tpm2.TPMCCGetRandom, tpm2.TPMCCHashSequenceStart}
	newObject = []tpm2.TPMCC{tpm2.TPMCCCreatePrimary, tpm2.TPMCCLoad, tpm2.TPMCCCreate, tpm2.TPMCCContextLoad, tpm2.TPMCCHashSequenceStart}
)

// The warnings of Part 2, 6.6.3, that end in the manager: at what commands a chip gives them, and how often it may before a client hears of it.
var warnings = []struct {
	rc    tpm2.TPMRC
	at    []tpm2.TPMCC
	times int
	sheds bool // a session, so that others can have or save theirs
}{
	{tpm2.TPMRCRetry, anything, 5, false},
	{tpm2.TPMRCYielded, anything, 5, false},
	{tpm2.TPMRCTesting, anything, 5, false},
	{tpm2.TPMRCMemory, newObject, 1, false},
	{tpm2.TPMRCObjectMemory, newObject, 1, false},
	{tpm2.TPMRCObjectHandles, newObject, 1, false},
	{tpm2.TPMRCSessionMemory, []tpm2.TPMCC{tpm2.TPMCCStartAuthSession, tpm2.TPMCCContextLoad}, 1, false},
	{tpm2.TPMRCSessionHandles, []tpm2.TPMCC{tpm2.TPMCCStartAuthSession}, 1, true},
	{tpm2.TPMRCContextGap, []tpm2.TPMCC{tpm2.TPMCCContextSave}, 1, true},
}

// A warned bench has clients who fill the chip.
type warned struct {
	*point
	*warner
	clients []*client
}

func newWarned(t testing.TB, raw *tpmtest.Conn, s stock, sharing rm.Sharing) *warned {
	w := &warned{warner: &warner{raw: raw}}
	m := rm.New(rm.Config{Sharing: sharing, Open: func() (rm.Chip, error) { return chip{w.warner}, nil }})
	m.SetPause(w.pause)
	w.point = &point{TB: t, breaker: &breaker{t: t, raw: raw, m: m}, stock: s}
	for uid := range uint32(4) {
		c := w.client(1 + uid)
		if err := errors.Join(c.load(), c.start()); err != nil {
			t.Fatal(err)
		}
		w.clients = append(w.clients, c)
	}
	return w
}

// work is what the clients do: each thing reports its error.
func (w *warned) work(did func(c *client, what string, err error)) {
	for _, c := range w.clients {
		did(c, "sign", c.sign())
		did(c, "sign in a session", c.signWith(c.session))
	}
	c := w.client(9)
	did(c, "make a primary", errorOf(tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(c.space)))
	did(c, "load", c.load())
	did(c, "create", c.make())
	did(c, "hash", c.hash())
	did(c, "get random bytes", errorOf(tpm2.GetRandom{BytesRequested: 8}.Execute(c.space)))
	did(c, "start a session", c.start())
	c.space.Close()
}

func errorOf[T any](_ T, err error) error { return err }

// end closes everything, and looks for what is left.
func (w *warned) end() {
	w.arm(0, 0, 0)
	w.m.Close()
	if leaks, err := tpmtest.Leaks(w.raw()); err != nil || len(leaks) > 0 {
		w.Errorf("left on the chip: %x, %v", leaks, err)
	}
	w.empty()
}

func (w *warned) raw() *tpmtest.Conn { return w.breaker.raw }

func warnedRuns(t *testing.T, run func(t *testing.T, w *warned, rc tpm2.TPMRC, at tpm2.TPMCC, times int, sheds bool)) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	s := newStock(t, raw)
	for name, sharing := range map[string]rm.Sharing{"alone": rm.Alone, "shared": rm.Shared} {
		for _, row := range warnings {
			for _, at := range row.at {
				t.Run(name+"/"+row.rc.Error()[:16]+"/"+wire.ShapeOf(at).Name, func(t *testing.T) {
					run(t, newWarned(t, raw, s, sharing), row.rc, at, row.times, row.sheds)
				})
			}
		}
	}
}

// A warning that passes is nothing that a client hears of.
func TestWarningsEndInTheManager(t *testing.T) {
	warnedRuns(t, func(t *testing.T, w *warned, rc tpm2.TPMRC, at tpm2.TPMCC, times int, sheds bool) {
		w.arm(rc, at, times)
		lost := 0
		w.work(func(c *client, what string, err error) {
			if sheds && isLost(err) {
				lost++
				return
			}
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
		if w.unused() > 0 || lost > 1 {
			t.Errorf("%d times the chip was not asked; %d sessions lost", w.unused(), lost)
		}
		w.end()
	})
}

// One that does not pass is what the client hears, after a bounded number of tries and a bounded time, and afterwards everything works as before.
func TestWarningsThatDoNotPass(t *testing.T) {
	const forever = 1 << 30
	warnedRuns(t, func(t *testing.T, w *warned, rc tpm2.TPMRC, at tpm2.TPMCC, _ int, sheds bool) {
		w.arm(rc, at, forever)
		w.spent()
		w.work(func(c *client, what string, err error) {
			if got := tpm2.TPMRC(0); err != nil && (!errors.As(err, &got) || got != rc) && !isConsequence(err, at) && !(sheds && isLost(err)) {
				t.Errorf("%s: %v, want nothing or %v", what, err, rc)
			}
			if sent, paused := w.spent(); sent > 3*40 || paused > 3*10*time.Second { // of at most three commands
				t.Errorf("%s: %d commands and %v of waiting", what, sent, paused)
			}
		})
		w.arm(0, 0, 0)
		lost := 0
		w.work(func(c *client, what string, err error) {
			if isLost(err) {
				lost++
			} else if err != nil {
				t.Errorf("%s afterwards: %v", what, err)
			}
		})
		if most := map[bool]int{true: 1}[sheds]; lost > most {
			t.Errorf("%d sessions are lost", lost)
		}
		w.end()
	})
}

// isConsequence tells whether an error says that there is no room, because nothing can be saved or taken off the chip.
func isConsequence(err error, at tpm2.TPMCC) bool {
	var rc tpm2.TPMRC
	full := errors.As(err, &rc) && (rc == 0x000B0903 || rc == tpm2.TPMRCObjectMemory || rc == tpm2.TPMRCSessionMemory)
	return full && (at == tpm2.TPMCCContextSave || at == tpm2.TPMCCFlushContext)
}
