package rm

import "sync"

// turns lets one caller at a time at the chip, round robin between principals, first come first served within one. The caller
// keeps its own thread: handing a command over to another goroutine would cost more than the filter.
type turns struct {
	mu     sync.Mutex
	taken  bool
	queues []*queue // one for each principal that waits; the first is next
}

// A queue holds the waiting callers of one principal, who has at most one place in the round.
type queue struct {
	principal uint32
	waiting   []chan struct{}
}

// take waits for the turn. It gives up when either channel is closed, and then reports false.
func (t *turns) take(principal uint32, stop, orStop <-chan struct{}) bool {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
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

// give ends the turn and grants the next.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.giveLocked()
}

func (t *turns) giveLocked() {
	if len(t.queues) == 0 {
		t.taken = false
		return
	}
	q := t.queues[0]
	t.queues = t.queues[1:]
	close(q.waiting[0])
	if q.waiting = q.waiting[1:]; len(q.waiting) > 0 {
		t.queues = append(t.queues, q)
	}
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
