package rm

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// turns lets one caller at a time at the chip. The next turn goes to the principal who has used the chip least, by the clock; within one it is first come,
// first served. Time that somebody did not use is not saved up for later.
//
// A caller who finds the turn free keeps his thread: handing a command over to another one would cost more than the filter. Callers who must wait leave their
// work to one goroutine, which does one after the other as long as there is some: between two commands nobody has to be woken while the chip idles.
type turns struct {
	mu     sync.Mutex
	clock  func() time.Time // nil: time.Now
	taken  bool
	holder uint32 // who has the turn
	since  time.Time
	queues []*queue                 // one for each principal that waits, in the order of their coming
	used   map[uint32]time.Duration // chip time of principals, counted from where now was when they came
	now    time.Duration            // what the principal had used who got the last turn; nobody counts as having used less
}

// A queue holds the waiting callers of one principal.
type queue struct {
	principal uint32
	waiting   []*waiter
}

// A waiter is a caller in a queue.
type waiter struct {
	work     func()        // nil: he wants the turn itself
	done     chan struct{} // closed when the work is, or when he has the turn
	panicked any           // of the work
}

func (t *turns) time() time.Time {
	if t.clock == nil {
		return time.Now()
	}
	return t.clock()
}

// usedBy is the chip time of a principal as it counts now.
func (t *turns) usedBy(principal uint32) time.Duration { return max(t.used[principal], t.now) }

// grantLocked gives the turn, which is free, to a principal.
func (t *turns) grantLocked(principal uint32) {
	t.now = t.usedBy(principal)
	t.taken, t.holder, t.since = true, principal, t.time()
}

// chargeLocked counts the time of the turn that ends.
func (t *turns) chargeLocked() {
	if t.used == nil || len(t.used) > mostRemembered {
		t.forgetLocked()
	}
	t.used[t.holder] = t.now + t.time().Sub(t.since)
}

// excuse has the turn that lasts charged less. Its holder says so.
func (t *turns) excuse(excess time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = t.since.Add(excess)
}

const mostRemembered = 256

// forgetLocked drops the principals who count as if they had never been here; if those that are left are too many all the same, their debts are forgiven.
func (t *turns) forgetLocked() {
	kept := map[uint32]time.Duration{}
	for principal, used := range t.used {
		if used > t.now {
			kept[principal] = used
		}
	}
	if len(kept) > mostRemembered {
		clear(kept)
	}
	t.used = kept
}

// take waits for the turn. It gives up when either channel is closed, and then reports false.
func (t *turns) take(principal uint32, stop, orStop <-chan struct{}) bool {
	w := t.enter(principal, nil)
	return w == nil || t.wait(principal, w, stop, orStop)
}

// do has some work done in a turn. It gives up like take, but not once the work has begun. What the work panics with comes back to the caller: a host may live
// on after a panic, and others with it.
func (t *turns) do(principal uint32, stop, orStop <-chan struct{}, work func()) bool {
	w := t.enter(principal, work)
	if w == nil {
		defer t.give()
		work()
		return true
	}
	if !t.wait(principal, w, stop, orStop) {
		return false
	}
	if w.panicked != nil {
		panic(w.panicked)
	}
	return true
}

// enter takes the turn where it is free, and otherwise makes the caller a waiter.
func (t *turns) enter(principal uint32, work func()) *waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.taken {
		t.grantLocked(principal)
		return nil
	}
	w := &waiter{work: work, done: make(chan struct{})}
	q := t.queueOf(principal)
	q.waiting = append(q.waiting, w)
	return w
}

func (t *turns) wait(principal uint32, w *waiter, stop, orStop <-chan struct{}) bool {
	select {
	case <-w.done:
		return true
	case <-stop:
	case <-orStop:
	}
	return t.leave(principal, w)
}

// leave takes a caller out of its queue. It reports true when his work has begun in the same moment, and waits for it. A turn that was granted then goes on to
// the next one.
func (t *turns) leave(principal uint32, w *waiter) bool {
	if t.withdraw(principal, w) {
		return false
	}
	if <-w.done; w.work == nil {
		t.give()
		return false
	}
	return true
}

func (t *turns) withdraw(principal uint32, w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, q := range t.queues {
		if q.principal != principal || !q.remove(w) {
			continue
		}
		if len(q.waiting) == 0 {
			t.queues = append(t.queues[:i], t.queues[i+1:]...)
		}
		return true
	}
	return false
}

// give ends the turn and grants the next, whose command goes out at once: the chip idles for as long as it takes to wake another thread, and this one is
// awake.
func (t *turns) give() {
	t.mu.Lock()
	next := t.giveLocked()
	t.mu.Unlock()
	if next != nil {
		go t.serve(next)
		runtime.Gosched()
	}
}

// serve does the work of those who wait, until nobody does or somebody wants the turn itself.
func (t *turns) serve(w *waiter) {
	for w != nil && w.work != nil {
		w.try()
		close(w.done)
		t.mu.Lock()
		w = t.giveLocked()
		t.mu.Unlock()
	}
	if w != nil {
		close(w.done)
	}
}

func (w *waiter) try() {
	defer func() { w.panicked = recover() }()
	w.work()
}

// giveLocked gives whose turn it is then; nil: nobody waits.
func (t *turns) giveLocked() *waiter {
	t.chargeLocked()
	if len(t.queues) == 0 {
		t.taken = false
		return nil
	}
	next := 0
	for i, q := range t.queues {
		if t.usedBy(q.principal) < t.usedBy(t.queues[next].principal) {
			next = i
		}
	}
	q := t.queues[next]
	t.queues = slices.Delete(t.queues, next, next+1)
	t.grantLocked(q.principal)
	w := q.waiting[0]
	if q.waiting = q.waiting[1:]; len(q.waiting) > 0 {
		t.queues = append(t.queues, q)
	}
	return w
}

func (t *turns) queueOf(principal uint32) *queue {
	for _, q := range t.queues {
		if q.principal == principal {
			return q
		}
	}
	q := &queue{principal: principal}
	t.queues = append(t.queues, q)
	return q
}

func (q *queue) remove(w *waiter) bool {
	i := slices.Index(q.waiting, w)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}
