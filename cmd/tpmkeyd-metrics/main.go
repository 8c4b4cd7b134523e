// Tpmkeyd-metrics tells a monitoring system what tpmkeyd does (OpenMetrics). It is a program of its own because what makes the text takes longer to start than tpmkeyd,
// for whose first answer somebody waits.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"tpmkey.example/internal/control"
	"tpmkey.example/internal/version"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: tpmkeyd-metrics [-control PATH] [-idle TIME]
       tpmkeyd-metrics -version

Tells what tpmkeyd does, in the form that monitoring systems read (OpenMetrics):
which commands had a turn at a TPM, for how long, who sent them, and what was
denied.

Where systemd hands it a socket, it answers GET /metrics there, to root only.
Otherwise it prints the metrics once; only root may ask for them.

  -control PATH the socket at which tpmkeyd answers root
                (default /run/tpmkey/control.sock)
  -idle TIME    how long it waits for a request before it leaves, and is started
                again for the next one (default 5m)
  -version      print the version, and ask nobody

Exit codes: 0 it has told all; 1 it failed; 2 the command line means nothing.
`

const idleBeforeLeaving = 5 * time.Minute

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs a command line and gives its exit code.
func command(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tpmkeyd-metrics", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var o options
	o.define(flags)
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("it takes flags only, not %q", flags.Arg(0))
	} else if err == nil && o.idle <= 0 {
		err = errors.New("-idle: more than 0s")
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "tpmkeyd-metrics: error: %v; run: tpmkeyd-metrics -h\n", err)
		return exitUsage
	}
	if o.version {
		fmt.Fprintln(stdout, "tpmkeyd-metrics", version.Number)
		return 0
	}
	if err := run(metrics{o.control}, o.idle, stdout); err != nil {
		fmt.Fprintf(stderr, "tpmkeyd-metrics: error: %v\n", err)
		return exitFailed
	}
	return 0
}

// options are what the flags say.
type options struct {
	control string
	idle    time.Duration
	version bool
}

func (o *options) define(flags *flag.FlagSet) {
	flags.StringVar(&o.control, "control", control.Path, "")
	flags.DurationVar(&o.idle, "idle", idleBeforeLeaving, "")
	flags.BoolVar(&o.version, "version", false, "")
}

// run answers at the socket that systemd hands over, or else prints.
func run(m metrics, idle time.Duration, stdout io.Writer) error {
	l, err := handedSocket()
	if err != nil {
		return err
	}
	if l != nil {
		return serve(l, m, idle)
	}
	return m.print(stdout)
}
