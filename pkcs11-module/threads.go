//go:build cgo

package main

import (
	"runtime"
	"sync"
)

// Go ends the host when it cannot make a thread, and a host may deny new ones at any time after C_Initialize (seccomp, limits). So Go gets few
// processors, and as many threads as these can keep busy are made at the start. It never gives a thread up.
const (
	processors = 4
	spare      = 1 // for what blocks in a system call
)

func init() {
	if runtime.GOMAXPROCS(0) > processors {
		runtime.GOMAXPROCS(processors)
	}
	makeThreads(runtime.GOMAXPROCS(0) + spare)
}

// makeThreads has n goroutines hold a thread each at the same time.
func makeThreads(n int) {
	var held, done sync.WaitGroup
	held.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			held.Done()
			held.Wait()
		})
	}
	done.Wait()
}
