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
		wg.Go(func() {
			turns.take(principal, nil, nil)
			order = append(order, principal)
			now = now.Add(cost[principal])
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

// Giving up in the very moment of the grant loses no turn.
func TestTurnsAreNotLost(t *testing.T) {
	var turns turns
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				stop := make(chan struct{})
				if n%2 == 0 {
					go close(stop)
				}
				if turns.take(uint32(i), stop, nil) {
					turns.give()
				}
			}
		})
	}
	wg.Wait()
	if turns.taken || turns.waiters() != 0 {
		t.Error("a turn was not given back")
	}
}
