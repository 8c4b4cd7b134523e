// Command tpmkey-sim serves a simulated TPM on a Unix socket, for the demo and
// for tests. It is no TPM: its keys live in this process's memory and are gone
// when it ends. Nothing in tpmkey ever chooses it by itself.
//
// The socket carries raw TPM framing: commands and responses follow one another,
// each delimited by its own size field. Any number of clients may connect; the
// chip runs one command at a time. The simulator is C code (go-tpm-tools), so
// this command needs cgo and libssl-dev to build.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	listen := flag.String("listen", "", "serve on the Unix socket `PATH`")
	withParent := flag.Bool("with-parent", false, "end when the parent process ends")
	flag.Parse()
	if *listen == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: tpmkey-sim [-with-parent] -listen PATH")
		os.Exit(exitUsage)
	}
	if err := run(*listen, *withParent); err != nil {
		fmt.Fprintln(os.Stderr, "tpmkey-sim: error:", err)
		os.Exit(exitFailed)
	}
}

// run serves until SIGINT, SIGTERM or, if asked, the death of the parent.
func run(path string, withParent bool) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	if withParent {
		if err := followParent(); err != nil {
			return err
		}
	}
	tpm, err := openChip()
	if err != nil {
		return err
	}
	s, err := newServer(path, tpm)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "tpmkey-sim: this is a simulated chip, not a TPM: it protects nothing and forgets every key at its end")
	fmt.Fprintln(os.Stderr, "tpmkey-sim: listening on", path)
	go func() {
		<-stop
		s.Close()
	}()
	return s.serve()
}
