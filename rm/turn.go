package rm

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// turns lets one caller at a time at the chip. The next turn goes to the principal who has used the chip least, by the clock; within one it is first come,
// first served. Time that somebody did not use is not saved up for later. The caller keeps its own thread: handing a command over to another goroutine
// would cost more than the filter.
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
	waiting   []chan struct{}
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
	t.mu.Lock()
	if !t.taken {
		t.grantLocked(principal)
		t.mu.Unlock()
		return true
	}
	granted := make(chan struct{})
	q := t.queueOf(principal)
	q.waiting = append(q.waiting, granted)
	t.mu.Unlock()
	select {
	case <-granted:
		return true
	case <-stop:
	case <-orStop:
	}
	t.leave(principal, granted)
	return false
}

// leave takes a caller out of its queue. A turn that was granted in the same moment goes on to the next one.
func (t *turns) leave(principal uint32, granted chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, q := range t.queues {
		if q.principal != principal || !q.remove(granted) {
			continue
		}
		if len(q.waiting) == 0 {
			t.queues = append(t.queues[:i], t.queues[i+1:]...)
		}
		return
	}
	t.giveLocked()
}

// give ends the turn and grants the next, whose command goes out at once: the chip idles for as long as it takes to wake another thread, and this one is
// awake.
func (t *turns) give() {
	t.mu.Lock()
	granted := t.giveLocked()
	t.mu.Unlock()
	if granted {
		runtime.Gosched()
	}
}

// giveLocked reports whether somebody had waited.
func (t *turns) giveLocked() bool {
	t.chargeLocked()
	if len(t.queues) == 0 {
		t.taken = false
		return false
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
	close(q.waiting[0])
	if q.waiting = q.waiting[1:]; len(q.waiting) > 0 {
		t.queues = append(t.queues, q)
	}
	return true
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

func (q *queue) remove(granted chan struct{}) bool {
	for i, w := range q.waiting {
		if w == granted {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}
