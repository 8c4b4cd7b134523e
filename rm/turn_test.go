package rm

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// waiters counts who is in the queues.
func (t *turns) waiters() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range t.queues {
		n += len(q.waiting)
	}
	return n
}

// play lets callers come in an order while the turn is taken, each of whom then uses it for a time that depends on the principal, and gives the order in
// which they had it.
func play(t *testing.T, callers []uint32, cost map[uint32]time.Duration) (order []uint32) {
	t.Helper()
	now := time.Now()
	turns := turns{clock: func() time.Time { return now }}
	turns.take(0, nil, nil)
	var wg sync.WaitGroup
	for i, principal := range callers {
		use := func() {
			order = append(order, principal)
			now = now.Add(cost[principal])
		}
		wg.Go(func() {
			if i%2 == 0 { // whether one does it himself or leaves it to others makes no difference
				turns.do(principal, nil, nil, use)
				return
			}
			turns.take(principal, nil, nil)
			use()
			turns.give()
		})
		for turns.waiters() != i+1 {
			time.Sleep(time.Millisecond)
		}
	}
	turns.give()
	wg.Wait()
	return order
}

// Principals take turns, however many callers one of them has.
func TestTurnsGoRoundPrincipals(t *testing.T) {
	cost := map[uint32]time.Duration{1: time.Millisecond, 2: time.Millisecond, 3: time.Millisecond}
	if got, want := play(t, []uint32{1, 1, 1, 2, 3, 2}, cost), []uint32{1, 2, 3, 1, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("the turns went to %v, want %v", got, want)
	}
}

// Whoever keeps the chip busy for long waits until the others have had as much.
func TestTurnsAreChargedByTime(t *testing.T) {
	cost := map[uint32]time.Duration{1: 4 * time.Millisecond, 2: time.Millisecond}
	callers := []uint32{1, 1, 2, 2, 2, 2, 2, 2}
	if got, want := play(t, callers, cost), []uint32{1, 2, 2, 2, 2, 1, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("the turns went to %v, want %v", got, want)
	}
}

// Who was not there has nothing saved up: two that come late share the chip with one who has had it alone.
func TestUnusedTimeIsNotSaved(t *testing.T) {
	now := time.Now()
	turns := turns{clock: func() time.Time { return now }}
	for range 100 {
		turns.take(1, nil, nil)
		now = now.Add(time.Second)
		turns.give()
	}
	if late, early := turns.usedBy(2), turns.usedBy(1); early-late > time.Second {
		t.Errorf("who comes late is %v ahead", early-late)
	}
	for principal := range uint32(10 * mostRemembered) {
		turns.take(principal, nil, nil)
		now = now.Add(time.Second)
		turns.give()
	}
	if len(turns.used) > mostRemembered+1 {
		t.Errorf("%d principals are remembered", len(turns.used))
	}
}

func TestTurnIsGivenUp(t *testing.T) {
	var turns turns
	turns.take(0, nil, nil)
	stop := make(chan struct{})
	done := make(chan bool)
	go func() { done <- turns.take(1, stop, nil) }()
	for turns.waiters() != 1 {
		time.Sleep(time.Millisecond)
	}
	if close(stop); <-done || turns.waiters() != 0 {
		t.Error("a caller that gave up still waits, or has the turn")
	}
	turns.give()
	if !turns.take(2, nil, nil) {
		t.Error("the turn was lost")
	}
}

// Giving up in the very moment of the grant loses no turn, and no work: it is done or it is not, as the caller is told, and never twice at a time.
func TestTurnsAreNotLost(t *testing.T) {
	var turns turns
	var wg sync.WaitGroup
	var works, done int
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				stop := make(chan struct{})
				if n%2 == 0 {
					go close(stop)
				}
				if n%3 == 0 && turns.take(uint32(i), stop, nil) {
					turns.give()
				}
				did := false
				said := turns.do(uint32(i), stop, nil, func() { works, did = works+1, true })
				if said != did {
					t.Errorf("the work was done: %t, and the caller was told %t", did, said)
				}
				if said && turns.take(0, nil, nil) {
					done++
					turns.give()
				}
			}
		})
	}
	wg.Wait()
	if turns.taken || turns.waiters() != 0 || works != done {
		t.Errorf("taken %t, %d wait, %d works of which %d are known", turns.taken, turns.waiters(), works, done)
	}
}

// A panic is the caller's whose work it was, and whoever waits gets his turn all the same.
func TestPanicInATurn(t *testing.T) {
	var turns turns
	turns.take(0, nil, nil)
	work := map[uint32]func(){1: func() { panic("of one") }, 2: func() {}}
	caught := map[uint32]chan any{1: make(chan any, 1), 2: make(chan any, 1)}
	for i, principal := range []uint32{1, 2} {
		go func() {
			defer func() { caught[principal] <- recover() }()
			turns.do(principal, nil, nil, work[principal])
		}()
		for turns.waiters() != i+1 {
			time.Sleep(time.Millisecond)
		}
	}
	turns.give()
	if one, two := <-caught[1], <-caught[2]; one != "of one" || two != nil {
		t.Errorf("the callers got %v and %v", one, two)
	}
}

// Once work has begun its caller waits for it, whatever closes.
func TestWorkThatHasBegun(t *testing.T) {
	var turns turns
	turns.take(0, nil, nil)
	stop, begun, finish, said := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan bool)
	go func() { said <- turns.do(1, stop, nil, func() { close(begun); <-finish }) }()
	for turns.waiters() != 1 {
		time.Sleep(time.Millisecond)
	}
	turns.give()
	<-begun
	close(stop)
	select {
	case <-said:
		t.Error("the caller left while his work was done")
	case <-time.After(10 * time.Millisecond):
	}
	if close(finish); !<-said {
		t.Error("the caller was not told")
	}
}
