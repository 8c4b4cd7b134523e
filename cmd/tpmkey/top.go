package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tpmkey.example/internal/control"
)

const topDetails = `
Shows root, each second until it is interrupted, who uses tpmkeyd's chips: how many
clients a user has, how many of his commands wait or run, how many ran in a second,
which part of the time they took, how long they waited for a turn on average, and
how many were denied. The first time, and where no terminal is, it counts from the
start of tpmkeyd.

  -once          show it once
  -control PATH  tpmkeyd's control socket (default /run/tpmkey/control.sock)
  -json          once, a JSON object: chips (their numbers), users: uid, clients,
                 queue, commands, denied, waited and ran (nanoseconds), counted
                 from the start of tpmkeyd
`

type topOptions struct {
	control string
	once    bool
}

func topFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.BoolVar(&t.top.once, "once", false, "")
	f.StringVar(&t.top.control, "control", control.Path, "")
}

func runTop(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	before := map[uint32]control.UserUse{}
	var since time.Duration
	for {
		u, err := t.usage()
		if err != nil {
			return err
		}
		if t.json {
			return t.printJSON(u)
		}
		if err := t.printUsage(u, before, since); err != nil || t.top.once || !term.IsTerminal(unix.Stdout) {
			return err
		}
		for _, user := range u.Users {
			before[user.UID] = user
		}
		since = time.Second
		time.Sleep(since)
	}
}

func (t *tool) usage() (*control.Usage, error) {
	u, err := control.AskUsage(t.top.control)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: only root sees who uses the TPM; put sudo before it", t.top.control)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", t.top.control, noService(err))
	}
	return u, nil
}

// noService says of a socket at which nobody answers what to do.
func noService(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("%w; tpmkeyd does not run there: sudo systemctl start tpmkeyd", errors.Unwrap(err))
	}
	return err
}

// toTop puts the cursor where the last table began, and clears what is below.
const toTop = "\x1b[H\x1b[J"

// printUsage shows what has happened since the time before; without one, since the start.
func (t *tool) printUsage(u *control.Usage, before map[uint32]control.UserUse, since time.Duration) error {
	if since > 0 {
		fmt.Fprint(t.stdout, toTop)
	}
	fmt.Fprintf(t.stdout, "chips, by number: %s\n", strings.Trim(fmt.Sprint(u.Chips), "[]"))
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tCLIENTS\tQUEUE\tCOMMANDS\tTIME\tWAIT\tDENIED")
	users := slices.Clone(u.Users)
	slices.SortFunc(users, func(a, b control.UserUse) int { return cmp.Compare(b.Ran-before[b.UID].Ran, a.Ran-before[a.UID].Ran) })
	for _, user := range users {
		fmt.Fprintln(w, usageRow(user, before[user.UID], since))
	}
	return w.Flush()
}

func usageRow(now, before control.UserUse, since time.Duration) string {
	commands, ran := now.Commands-before.Commands, now.Ran-before.Ran
	took := ran.Round(time.Millisecond).String()
	if since > 0 {
		took = fmt.Sprintf("%.0f %%", 100*ran.Seconds()/since.Seconds())
	}
	var wait time.Duration
	if commands > 0 {
		wait = (now.Waited - before.Waited) / time.Duration(commands)
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%s\t%v\t%d", nameOfUser(now.UID), now.Clients, now.Queue, commands, took, wait.Round(time.Microsecond), now.Denied-before.Denied)
}

func nameOfUser(uid uint32) string {
	if u, err := user.LookupId(fmt.Sprint(uid)); err == nil {
		return printable(u.Username)
	}
	return fmt.Sprint(uid)
}
