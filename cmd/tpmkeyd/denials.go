package main

import (
	"fmt"
	"log"
	"maps"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"tpmkey.example/rm/wire"
)

func nameOf(code tpm2.TPMCC) string {
	if shape := wire.ShapeOf(code); shape != nil {
		return shape.Name
	}
	return fmt.Sprintf("command 0x%x", uint32(code))
}

// A limiter keeps callers who are refused again and again from filling the log: some lines at once, then a few a second, and the number of those that were left
// out. One principal may write a part of that only, or he could hide what others do.
type limiter struct {
	mu   sync.Mutex
	all  bucket
	each map[uint32]*bucket // of a principal
}

// A bucket holds lines that may be written.
type bucket struct {
	lines   float64
	refill  time.Time
	skipped int // that there were no lines for
}

// A rate is how many lines may be written at once, and from then on in a second.
type rate struct{ burst, perSecond float64 }

var (
	rateOfAll  = rate{50, 5}
	rateOfEach = rate{20, 1}
)

// rateOf is a principal's own. Root hides nothing from root.
func rateOf(principal uint32) rate {
	if principal == 0 {
		return rateOfAll
	}
	return rateOfEach
}

const mostBuckets = 1024 // beyond that those are dropped that are full

func (l *limiter) printf(to *log.Logger, principal uint32, format string, args ...any) {
	skipped, ok := l.allow(principal, time.Now())
	if !ok {
		return
	}
	if skipped > 0 {
		to.Printf("%d lines like the next were left out", skipped)
	}
	to.Printf(format, args...)
}

func (l *limiter) allow(principal uint32, now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.of(principal, now)
	l.all.fill(rateOfAll, now)
	own.fill(rateOf(principal), now)
	if own.lines < 1 || l.all.lines < 1 {
		own.skipped++
		return 0, false
	}
	own.lines--
	l.all.lines--
	skipped, own.skipped = own.skipped, 0
	return skipped, true
}

func (l *limiter) of(principal uint32, now time.Time) *bucket {
	if l.each == nil {
		l.each = map[uint32]*bucket{}
	}
	if b := l.each[principal]; b != nil {
		return b
	}
	if len(l.each) >= mostBuckets {
		maps.DeleteFunc(l.each, func(principal uint32, b *bucket) bool {
			b.fill(rateOf(principal), now)
			return b.lines >= rateOf(principal).burst
		})
	}
	b := &bucket{}
	l.each[principal] = b
	return b
}

func (b *bucket) fill(r rate, now time.Time) {
	if b.refill.IsZero() {
		b.lines = r.burst
	} else {
		b.lines = min(r.burst, b.lines+now.Sub(b.refill).Seconds()*r.perSecond)
	}
	b.refill = now
}
