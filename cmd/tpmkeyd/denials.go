package main

import (
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// logDenial tells the administrator which rule refused what of whom.
func (s *server) logDenial(peer *unix.Ucred, d filter.Decision, code tpm2.TPMCC) {
	s.denials.printf(s.log, "denied uid=%d pid=%d %s: %s (rule %s)", peer.Uid, peer.Pid, nameOf(code), d.Why, d.Rule)
}

func nameOf(code tpm2.TPMCC) string {
	if shape := wire.ShapeOf(code); shape != nil {
		return shape.Name
	}
	return fmt.Sprintf("command 0x%x", uint32(code))
}

// A limiter keeps a caller who is refused again and again from filling the log: some lines at once, then a few a second, and the number
// of those that were left out.
type limiter struct {
	mu      sync.Mutex
	lines   float64 // that may be written now
	refill  time.Time
	skipped int
}

const (
	burst     = 50.0 // lines at once
	perSecond = 5.0
)

func (l *limiter) printf(to *log.Logger, format string, args ...any) {
	skipped, ok := l.allow(time.Now())
	if !ok {
		return
	}
	if skipped > 0 {
		to.Printf("%d lines like the next were left out", skipped)
	}
	to.Printf(format, args...)
}

func (l *limiter) allow(now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refill.IsZero() {
		l.lines, l.refill = burst, now
	}
	l.lines = min(burst, l.lines+now.Sub(l.refill).Seconds()*perSecond)
	l.refill = now
	if l.lines < 1 {
		l.skipped++
		return 0, false
	}
	l.lines--
	skipped, l.skipped = l.skipped, 0
	return skipped, true
}
