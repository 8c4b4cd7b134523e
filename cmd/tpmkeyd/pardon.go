package main

import (
	"fmt"
	"log"
	"strings"
)

// pardonOnSignal lets the administrator release those whom the lockout budget refuses.
func pardonOnSignal(c *chips, l *log.Logger) (stop func()) {
	return onSignal(pardonSignal, func() { l.Printf("SIGUSR1: %s", whoIsPardoned(c.pardon())) })
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
