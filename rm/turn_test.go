package rm

import (
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

// Principals take turns, however many callers one of them has.
func TestTurnsGoRoundPrincipals(t *testing.T) {
	var turns turns
	turns.take(0, nil, nil)
	order := make(chan uint32, 8)
	for i, principal := range []uint32{1, 1, 1, 2, 3, 2} {
		go func() {
			turns.take(principal, nil, nil)
			order <- principal
			turns.give()
		}()
		for turns.waiters() != i+1 {
			time.Sleep(time.Millisecond)
		}
	}
	turns.give()
	want := []uint32{1, 2, 3, 1, 2, 1}
	for i, w := range want {
		if got := <-order; got != w {
			t.Errorf("turn %d went to %d, want %d", i, got, w)
		}
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
