//go:build cgo

package main

import (
	"runtime"
	"time"
)

// processors is how many threads Go keeps busy at once. So many are ready for it (pool.c): it ends the host when it wants one and cannot have it, and a host may
// deny new ones at any time after C_Initialize (seccomp, limits).
const processors = 4

func init() {
	if runtime.GOMAXPROCS(0) > processors {
		runtime.GOMAXPROCS(processors)
	}
	time.NewTimer(time.Hour).Stop() // the first timer makes the poller, for which a host may leave no descriptors later
}
