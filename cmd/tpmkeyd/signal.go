package main

import (
	"os"
	"os/signal"
	"syscall"
)

// What the administrator tells the service with: only root, and who runs it, can send it signals. SIGHUP comes by itself too, when the terminal goes that the
// service was started on, so it does nothing that somebody might not have meant.
const (
	reloadSignal = syscall.SIGHUP
	pardonSignal = syscall.SIGUSR1
)

// onSignal does something whenever a signal comes, until stop.
func onSignal(which os.Signal, what func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, which)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range signals {
			what()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	}
}
