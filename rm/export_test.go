package rm

import (
	"sync"
	"time"
)

// A Clock is one that a test sets. Whoever waits makes it go on.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	waited time.Duration
	over   <-chan time.Time // instead of a channel that is closed already
	waits  chan struct{}
}

// SetClock gives the manager a clock of the test's own.
func (m *Manager) SetClock() *Clock {
	c := &Clock{now: time.Now()}
	m.now, m.after = c.Now, c.after
	return c
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance puts the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Waited is how long clients had to wait since the last call.
func (c *Clock) Waited() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waited
	c.waited = 0
	return w
}

// WaitFor has everybody wait for a channel from now on, and tells when somebody does.
func (c *Clock) WaitFor(over <-chan time.Time) (waits <-chan struct{}) {
	c.over, c.waits = over, make(chan struct{}, 1)
	return c.waits
}

func (c *Clock) after(d time.Duration) <-chan time.Time {
	if c.over != nil {
		c.waits <- struct{}{}
		return c.over
	}
	c.Advance(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited += d
	over := make(chan time.Time)
	close(over)
	return over
}

// SetPatience is how long a command may take from now on. The caller has the turn, or nobody else does.
func (m *Manager) SetPatience(d time.Duration) { m.patience = d }

// SetPause is what the manager does instead of waiting. Nobody uses it yet.
func (m *Manager) SetPause(pause func(time.Duration) bool) { m.pause = pause }
