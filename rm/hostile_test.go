//go:build check

package rm_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

var (
	mostCommands = flag.Int("commands", math.MaxInt, "how many hostile commands to send at most")
	mostTime     = flag.Duration("time", time.Minute, "how long to send hostile commands at most")
	seed         = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the hostile commands")
)

// Principals of the hostile run: so few that not all sessions of unprivileged clients are used up, for then the one who holds most gives one up.
const (
	victimUID     = 1
	firstAttacker = 1000
	attackers     = 6 // clients
	principals    = 4 // whose they are: two have two
	batch         = 500
	progress      = 20 * batch // is told so often
)

func openAs(uid uint32) rm.Options { return rm.Options{UID: uid} }

// hostileBench is a manager above a chip, and what both were asked.
type hostileBench struct {
	*rm.Manager
	raw       tpmtest.Sender
	srk       tpm2.TPM2BName
	srkPublic tpm2.TPMTPublic
	sent      int                // by attackers
	arrived   int                // at the chip, from the manager
	reached   map[tpm2.TPMCC]int // likewise, by their codes
	succeeded map[tpm2.TPMCC]int // of the attackers' commands
}

func newHostileBench(t *testing.T) *hostileBench {
	t.Helper()
	b := &hostileBench{raw: tpmtest.Dial(t, tpmtest.SWTPM(t)), reached: map[tpm2.TPMCC]int{}, succeeded: map[tpm2.TPMCC]int{}}
	tpmtest.PersistSRK(t, b.raw)
	r, err := tpm2.ReadPublic{ObjectHandle: tpmtest.SRKHandle}.Execute(b.raw)
	if err != nil {
		t.Fatal(err)
	}
	public, err := r.OutPublic.Contents()
	if err != nil {
		t.Fatal(err)
	}
	b.srk, b.srkPublic = r.Name, *public
	b.Manager = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{tpmtest.Func(b.forward(t))}, nil }})
	b.SetClock() // whoever is braked waits no real time
	return b
}

// managersOwn are commands that the manager sends of its own accord.
var managersOwn = []tpm2.TPMCC{tpm2.TPMCCContextSave, tpm2.TPMCCContextLoad}

// forward is between manager and chip, and knows what may come through.
func (b *hostileBench) forward(t *testing.T) func(command []byte) ([]byte, error) {
	return func(command []byte) ([]byte, error) {
		c, err := wire.Parse(command)
		if err != nil || !slices.Contains(chipCodes, c.Code) && !slices.Contains(managersOwn, c.Code) {
			t.Errorf("this reached the chip: %x, %v", command, err)
		}
		b.arrived++
		b.reached[c.Code]++
		return b.raw.Send(command)
	}
}

// Random commands of several clients under the default profile. After each batch an observer on the raw chip finds nothing changed that is not theirs, and a victim's
// keys and session work. The choices come from the seed; the chip's own random numbers, and so keys and nonces, do not.
func TestHostileClients(t *testing.T) {
	t.Logf("seed %d", *seed)
	b := newHostileBench(t)
	v, o := newVictim(t, b), newObserver(t, b.raw)
	clients := newAttackers(t, b)
	g := clients[0].grammar
	for start := time.Now(); b.sent < *mostCommands && time.Since(start) < *mostTime && !t.Failed(); {
		for until := b.sent + batch; b.sent < until; {
			pick(g, clients).step()
		}
		o.check(t)
		v.check(t)
		if b.sent/progress > (b.sent-batch)/progress {
			t.Logf("%d commands after %v", b.sent, time.Since(start).Round(time.Second))
		}
	}
	b.report(t, clients)
	for _, code := range chipCodes {
		if b.reached[code] == 0 || b.succeeded[code] == 0 {
			t.Errorf("%s: %d reached the chip, %d succeeded", wire.ShapeOf(code).Name, b.reached[code], b.succeeded[code])
		}
	}
	b.Close()
	if leaks, err := tpmtest.Leaks(b.raw); err != nil || len(leaks) > 0 {
		t.Errorf("left on the chip: %x, %v", leaks, err)
	}
}

func newAttackers(t *testing.T, b *hostileBench) (clients []*attacker) {
	t.Helper()
	g := &grammar{Rand: rand.New(rand.NewPCG(*seed, 0))}
	for i := range attackers {
		a := &attacker{grammar: g, t: t, bench: b, uid: uint32(firstAttacker + i%principals), answers: map[tpm2.TPMRC]int{}}
		a.open()
		a.clean = true
		a.loadKey() // makes one
		a.loadKey()
		a.clean = false
		clients = append(clients, a)
	}
	return clients
}

// report prints how many commands there were and what became of them.
func (b *hostileBench) report(t *testing.T, clients []*attacker) {
	t.Helper()
	answers := map[tpm2.TPMRC]int{}
	for _, a := range clients {
		for rc, n := range a.answers {
			answers[rc] += n
		}
	}
	denied := answers[filter.RCDenied]
	t.Logf("%d hostile commands: %d succeeded, %d denied, %d got another code; %d commands arrived at the chip",
		b.sent, answers[0], denied, b.sent-answers[0]-denied, b.arrived)
	for _, code := range slices.Sorted(maps.Keys(b.reached)) {
		t.Logf("%7d %7d %s: arrived at the chip, succeeded", b.reached[code], b.succeeded[code], wire.ShapeOf(code).Name)
	}
	codes := slices.SortedFunc(maps.Keys(answers), func(x, y tpm2.TPMRC) int { return cmp.Compare(answers[y], answers[x]) })
	line := ""
	for _, rc := range codes {
		line += fmt.Sprintf(" 0x%x: %d", uint32(rc), answers[rc])
	}
	t.Logf("answers:%s", line)
}
