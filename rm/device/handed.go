package device

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Descriptors that systemd hands to a service (sd_listen_fds(3)): from 3 on, with names.
const (
	firstHanded = 3
	handedName  = "tpmkey"
)

// handedDescriptor is the spec of the descriptor by the name of tpmkey that systemd has handed to this very process; "" where there is none. In a service's file it is
// written OpenFile=/run/tpmkey/tpms.sock:tpmkey.
func handedDescriptor() string {
	if pid := environment("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return "" // whoever it was for has passed its environment on
	}
	count, err := strconv.Atoi(environment("LISTEN_FDS"))
	i := slices.Index(strings.Split(environment("LISTEN_FDNAMES"), ":"), handedName)
	if err != nil || i < 0 || i >= count {
		return ""
	}
	return fmt.Sprintf("fd:%d", firstHanded+i)
}
