package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// pardonOnSignal lets the administrator release those whom the lockout budget refuses: only root, and who runs the service, can send it a signal. It is not
// SIGHUP, which comes by itself when the terminal goes that the service was started on.
func pardonOnSignal(c *chips, l *log.Logger) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for range signals {
			l.Printf("SIGUSR1: %s", whoIsPardoned(c.pardon()))
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

func whoIsPardoned(principals []uint32) string {
	if len(principals) == 0 {
		return "nobody was refused keys with PINs that the TPM counts"
	}
	var uids []string
	for _, uid := range principals {
		uids = append(uids, fmt.Sprint(uid))
	}
	return "no longer refused keys with PINs that the TPM counts: uid " + strings.Join(uids, ", ")
}
