package main

import (
	"context"
	"time"
)

// A service that systemd has started for a client leaves when it has nothing to do, and is started again for the next one. Nobody notices: nothing is in force that the
// next one would not know.

const idleBeforeLeaving = 30 * time.Second

// leaveWhenIdle stops the service once it has been idle for so long.
func (s *server) leaveWhenIdle(ctx context.Context, after time.Duration, stop func()) {
	look := time.NewTicker(after / 6)
	defer look.Stop()
	since := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		since = s.lastWatched(since)
		if !s.idle() {
			since = time.Now()
		} else if time.Since(since) >= after && s.close() {
			s.log.Printf("idle for %v: leaving until somebody comes", after)
			stop()
			return
		}
	}
}

// lastWatched is a time, or when somebody last asked who uses the TPM if that was later: what is counted would begin from nothing again.
func (s *server) lastWatched(since time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched.After(since) {
		return s.watched
	}
	return since
}

// idle tells whether nobody is here and nothing is in force. A door of a namespace's and a node are only there as long as we are.
func (s *server) idle() bool {
	s.mu.Lock()
	nobody := len(s.connections) == 0 && len(s.count) == 0
	s.mu.Unlock()
	return nobody && s.node == nil && !s.doors.any() && s.chips.atRest()
}

// close sends away whoever comes from now on, unless somebody is here.
func (s *server) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = len(s.connections) == 0 && len(s.count) == 0
	return s.closed
}
