// Tpmkeyd lets any local user reach the machine's TPM through a filter that keeps them from harming it and one another: it owns the chip
// and serves a Unix socket that everybody may open, with a space of its own for each connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"tpmkey.example/filter"
	"tpmkey.example/internal/version"
	"tpmkey.example/namespace"
	"tpmkey.example/rm/device"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: tpmkeyd [-device SPEC]... [-listen PATH] [-node NAME]
               [-control PATH] [-filter NAME] [-namespaces FILE] [-state DIR]
               [-idle TIME]

Serves the TPM to every local user on a Unix socket and, where the kernel has
CUSE, as the device /dev/tpms, through a filter that lets only RSA keys be made,
loaded and used. What it refuses is logged with the reason.

  -device SPEC  a chip: /dev/tpm0, /dev/tpmrm0, unix:PATH[,ctrl=PATH] or
                tcp:HOST:PORT[,ctrl=PORT] of an emulator, whose control channel
                sets localities; may be given again for chip 1, 2, ...
                (default: every /dev/tpm<n>, also one that comes later)
  -listen PATH  the socket (default /run/tpmkey/tpms.sock)
  -node NAME    the device's name below /dev (default tpms); it must be there then
  -control PATH the socket at which root asks for descriptors (tpmkey run) and
                who uses the TPM (tpmkey top, tpmkeyd-metrics); default
                control.sock beside the other
  -filter NAME  what everybody may send: a profile that "tpmkey filter list"
                shows, or the path of a file with one (default rsa)
  -namespaces FILE
                who else gets what (default /etc/tpmkey/namespaces.toml, which may
                be missing); try it with: tpmkey namespace test USER
  -state DIR    what must outlive the service (default /var/lib/tpmkey)
  -idle TIME    where systemd has made the sockets: after how long with nothing
                to do the service leaves, and is started again for the next
                client (default 30s)
  -version      print the version, and serve nothing

Exit codes: 0 it was told to stop; 1 it failed; 2 the command line means nothing.

The signal HUP reads the namespaces and the file of a filter again. Clients keep
what they have; a mistake in a file changes nothing and is logged with its line.

A wrong PIN that the TPM counts costs its user all such keys for 24 hours, so
that nobody locks the TPM. The signal USR1 releases those users, each for one
more try: sudo pkill -USR1 -x tpmkeyd
`

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs a command line and gives its exit code.
func command(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tpmkeyd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o := options{rules: &namespaces{}}
	o.define(flags)
	asked := flags.Bool("version", false, "")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("it takes flags only, not %q", flags.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err == nil && o.idle < time.Second:
		err = errors.New("-idle: at least 1s")
		fallthrough
	case err != nil:
		fmt.Fprintf(stderr, "tpmkeyd: error: %v; run: tpmkeyd -h\n", err)
		return exitUsage
	case *asked:
		fmt.Fprintln(stdout, "tpmkeyd", version.Number)
		return 0
	}
	if err := run(o); err != nil {
		fmt.Fprintf(stderr, "tpmkeyd: error: %v\n", forRoot(err, os.Geteuid()))
		return exitFailed
	}
	return 0
}

// forRoot says to others what is the matter when they may not do something.
func forRoot(err error, uid int) error {
	if uid != 0 && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; the service is root's: put sudo before it", err)
	}
	return err
}

// options are what the flags say.
type options struct {
	specs   []string
	sockets sockets
	node    string
	profile string
	rules   *namespaces
	state   string
	idle    time.Duration
}

func (o *options) define(flags *flag.FlagSet) {
	flags.Func("device", "", func(spec string) error {
		o.specs = append(o.specs, spec)
		return nil
	})
	flags.StringVar(&o.sockets.everybody, "listen", strings.TrimPrefix(device.DefaultBroker, "broker:"), "")
	flags.StringVar(&o.sockets.control, "control", "", "")
	flags.StringVar(&o.node, "node", "", "")
	flags.StringVar(&o.profile, "filter", filter.Default().Name(), "")
	flags.StringVar(&o.rules.path, "namespaces", namespace.Path, "")
	flags.StringVar(&o.state, "state", "/var/lib/tpmkey", "")
	flags.DurationVar(&o.idle, "idle", idleBeforeLeaving, "")
}

// run serves until it is told to stop, and then leaves neither a handle on the chip nor a socket.
func run(o options) error {
	allowed, err := readFilter(o.profile)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	logger := log.New(os.Stderr, "tpmkeyd: ", 0)
	tpms, err := o.chips(logger)
	if err != nil {
		return err
	}
	defer tpms.close()
	at, err := o.sockets.open()
	if err != nil {
		return err
	}
	defer at.close()
	o.rules.profile, o.rules.everybody, o.rules.optional = o.profile, grant{filter: allowed, chip: anyChip}, o.rules.path == namespace.Path
	s := newServer(tpms, o.rules, logger)
	s.asking, s.doors.everybody = at.asking, at.everybody.Addr().String()
	if err := o.rules.reload(s); err != nil {
		return err
	}
	defer s.vtpms.closeAll()
	defer s.doors.closeAll()
	leave, err := s.serveNodeIfPossible(o.node)
	if err != nil {
		return err
	}
	defer leave()
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer pardonOnSignal(tpms, logger)()
	defer o.rules.reloadOnSignal(s, logger)()
	if at.handed {
		go s.leaveWhenIdle(stopped, o.idle, stop)
	}
	logger.Printf("serving %s on %s, filter %s", tpms, at.everybody.Addr(), allowed.Name())
	err = notify("READY=1")
	context.AfterFunc(stopped, func() { notify("STOPPING=1") })
	return errors.Join(err, s.serve(stopped, at.everybody))
}

// chips opens those that the flags name, and finds out early what is wrong with them.
func (o options) chips(l *log.Logger) (*chips, error) {
	c, err := openChips(o.specs)
	if err != nil {
		return nil, err
	}
	kept := state{o.state}
	c.complete, c.left = kept.complete(l), kept.leftClean
	c.owner = (&principals{path: "/etc/subuid", log: l}).of
	if err = c.prepare(); err == nil && len(o.specs) == 0 {
		err = c.probe(l)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}
