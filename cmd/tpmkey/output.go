package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// An output is standard output that remembers what went wrong with it, so that no verb needs to look after each line.
type output struct {
	to  io.Writer
	err error
}

// Write writes as long as nothing has failed.
func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.to.Write(b)
	if err != nil {
		o.err = fmt.Errorf("write the output: %w", err)
	}
	return n, o.err
}

// survivePipes makes writing to a pipe that nobody reads an error like others, instead of the program's death. Programs that are started from here are not
// concerned: a signal that is ignored would be so for them too.
func survivePipes() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }
