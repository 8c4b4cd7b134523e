// Tpmkeyd lets any local user reach the machine's TPM through a filter that keeps them from harming it and one another: it owns the chip
// and serves a Unix socket that everybody may open, with a space of its own for each connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
	"tpmkey.example/namespace"
	"tpmkey.example/rm/device"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: tpmkeyd [-device SPEC]... [-listen PATH] [-control PATH]
               [-filter NAME] [-namespaces FILE] [-state DIR]

Serves the TPM to every local user on a Unix socket, through a filter that lets
only RSA keys be made, loaded and used. What it refuses is logged with the
reason.

  -device SPEC  a chip: /dev/tpm0, /dev/tpmrm0, unix:PATH[,ctrl=PATH] or
                tcp:HOST:PORT[,ctrl=PORT] of an emulator, whose control channel
                sets localities; may be given again for chip 1, 2, ...
                (default: every /dev/tpm<n>, also one that comes later)
  -listen PATH  the socket (default /run/tpmkey/tpms.sock)
  -control PATH the socket at which root asks for descriptors: tpmkey run
                (default control.sock beside the other)
  -filter NAME  what everybody may send: a profile that "tpmkey filter list"
                shows, or the path of a file with one (default rsa)
  -namespaces FILE
                who else gets what (default /etc/tpmkey/namespaces.toml, which may
                be missing); try it with: tpmkey namespace test USER
  -state DIR    what must outlive the service (default /var/lib/tpmkey)
  -version      print the version, and serve nothing

Exit codes: 0 it was told to stop; 1 it failed; 2 the command line means nothing.

The signal HUP reads the namespaces again. Clients keep what they have; a mistake
in the file changes nothing and is logged with its line.

A wrong PIN that the TPM counts costs its user all such keys for 24 hours, so
that nobody locks the TPM. The signal USR1 releases those users, each for one
more try: sudo pkill -USR1 -x tpmkeyd
`

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// command runs a command line and gives its exit code.
func command(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tpmkeyd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var specs []string
	flags.Func("device", "", func(spec string) error {
		specs = append(specs, spec)
		return nil
	})
	path := flags.String("listen", strings.TrimPrefix(device.DefaultBroker, "broker:"), "")
	asks := flags.String("control", "", "")
	profile := flags.String("filter", filter.Default().Name(), "")
	rules := namespaces{}
	flags.StringVar(&rules.path, "namespaces", namespace.Path, "")
	dir := flags.String("state", "/var/lib/tpmkey", "")
	asked := flags.Bool("version", false, "")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("it takes flags only, not %q", flags.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "tpmkeyd: error: %v; run: tpmkeyd -h\n", err)
		return exitUsage
	case *asked:
		fmt.Fprintln(stdout, "tpmkeyd", version())
		return 0
	}
	if err := run(specs, sockets{*path, *asks}, *profile, &rules, state{*dir}); err != nil {
		fmt.Fprintf(stderr, "tpmkeyd: error: %v\n", err)
		return exitFailed
	}
	return 0
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}

// sockets are the paths that we listen at.
type sockets struct{ everybody, control string }

func (s sockets) controlPath() string {
	if s.control != "" {
		return s.control
	}
	return filepath.Join(filepath.Dir(s.everybody), filepath.Base(control.Path))
}

// run serves until it is told to stop, and then leaves neither a handle on the chip nor a socket.
func run(specs []string, at sockets, profile string, rules *namespaces, kept state) error {
	allowed, err := readFilter(profile)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	logger := log.New(os.Stderr, "tpmkeyd: ", 0)
	tpms, err := openChips(specs)
	if err != nil {
		return err
	}
	defer tpms.close()
	tpms.complete, tpms.owner = kept.complete(logger), (&principals{path: "/etc/subuid", log: logger}).of
	if err := tpms.prepare(); err != nil {
		return err
	}
	if len(specs) == 0 {
		err = tpms.probe(logger)
	}
	if err != nil {
		return err
	}
	listener, err := listen(at.everybody)
	if err != nil {
		return err
	}
	defer listener.Close()
	asking, err := listenFor(at.controlPath(), controlMode)
	if err != nil {
		return err
	}
	rules.everybody, rules.optional = grant{filter: allowed, chip: anyChip}, rules.path == namespace.Path
	s := newServer(tpms, rules, logger)
	if err := rules.reload(s); err != nil {
		return err
	}
	defer s.doors.closeAll()
	s.asking = asking
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer pardonOnSignal(tpms, logger)()
	defer rules.reloadOnSignal(s, logger)()
	s.log.Printf("serving %s on %s, filter %s", tpms, at.everybody, allowed.Name())
	return s.serve(stopped, listener)
}
