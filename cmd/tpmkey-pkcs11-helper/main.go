// Tpmkey-pkcs11-helper is the core of the PKCS #11 module in a process of its own, for programs in which Go cannot run: forked children, and those that
// may not create threads. The module starts it, with a socket as standard input, and it ends when the module's end of that is closed.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"tpmkey.example/pkcs11-module/core"
)

// build tells which module this program belongs to: a number in hexadecimal that the Makefile sets for both.
var build string

// others are signals that a terminal or a service manager sends to all of a host's processes. What to do about them is the host's business.
var others = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGTSTP, syscall.SIGUSR1, syscall.SIGUSR2,
	syscall.SIGALRM, syscall.SIGPIPE}

func main() {
	if len(os.Args) != 2 || !isSocket(os.Stdin) {
		fmt.Fprintln(os.Stderr, "tpmkey-pkcs11-helper: error: the PKCS #11 module starts this program, nobody else")
		os.Exit(2)
	}
	signal.Notify(make(chan os.Signal, 1), others...) // not Ignore, which programs that ask for a PIN would inherit
	os.WriteFile("/proc/self/comm", []byte("tpmkey-helper"), 0)
	if err := serve(0, strings.TrimSpace(build), core.New(os.Args[1])); err != nil {
		core.Log(fmt.Sprintf("C_Initialize in %q: %v", os.Args[1], err))
		os.Exit(1)
	}
}

func isSocket(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeSocket != 0
}
