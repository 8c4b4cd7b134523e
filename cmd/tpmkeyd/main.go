// Tpmkeyd lets any local user reach the machine's TPM through a filter that keeps them from harming it and one another: it owns the chip
// and serves a Unix socket that everybody may open, with a space of its own for each connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: tpmkeyd [-device SPEC] [-listen PATH] [-filter NAME] [-state DIR]

Serves the TPM to every local user on a Unix socket, through a filter that lets
only RSA keys be made, loaded and used. What it refuses is logged with the
reason.

  -device SPEC  the chip: /dev/tpm0 (the default), /dev/tpmrm0,
                unix:PATH or tcp:HOST:PORT of an emulator
  -listen PATH  the socket (default /run/tpmkey/tpms.sock)
  -filter NAME  what everybody may send: a profile that "tpmkey filter list"
                shows, or the path of a file with one (default rsa)
  -state DIR    what must outlive the service (default /var/lib/tpmkey)
`

func main() {
	flags := flag.NewFlagSet("tpmkeyd", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	spec := flags.String("device", "/dev/tpm0", "")
	path := flags.String("listen", strings.TrimPrefix(device.DefaultBroker, "broker:"), "")
	profile := flags.String("filter", filter.Default().Name(), "")
	dir := flags.String("state", "/var/lib/tpmkey", "")
	if err := flags.Parse(os.Args[1:]); errors.Is(err, flag.ErrHelp) {
		return
	} else if err != nil || flags.NArg() > 0 {
		if err == nil {
			flags.Usage()
		}
		os.Exit(exitUsage)
	}
	if err := run(*spec, *path, *profile, state{*dir}); err != nil {
		fmt.Fprintf(os.Stderr, "tpmkeyd: error: %v\n", err)
		os.Exit(exitFailed)
	}
}

// run serves until it is told to stop, and then leaves neither a handle on the chip nor a socket.
func run(spec, path, profile string, kept state) error {
	allowed, err := readFilter(profile)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	config, err := device.OpenChip(spec)
	if err != nil {
		return err
	}
	logger := log.New(os.Stderr, "tpmkeyd: ", 0)
	config.ContextKey, config.Remember = kept.contextKey, kept.remember(logger)
	if config.Memory, err = kept.memory(); err != nil {
		return err
	}
	config.PrincipalOf = (&principals{path: "/etc/subuid", log: logger}).of
	manager := rm.New(config)
	defer manager.Close()
	listener, err := listen(path)
	if err != nil {
		return err
	}
	stopped, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := newServer(manager, allowed, logger)
	s.log.Printf("serving %s on %s, filter %s", spec, path, allowed.Name())
	return s.serve(stopped, listener)
}
