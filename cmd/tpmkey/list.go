package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"tpmkey.example/provider"
)

const listDetails = `
One line for each key: name, bits, fingerprint, file, and "imported" or "migratable" for
a key that can be outside of this TPM too, "attestation" for one that only tpmkey attest
uses. Files that are no keys are named on standard error, and the exit code is 1.

  -names        only the names, one a line
  -json         a JSON array of what "tpmkey show -json" prints
`

func listFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.BoolVar(&t.names, "names", false, "")
}

// runList prints what can be used, also when some files cannot.
func runList(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	keys, refused := t.open().AllKeys()
	write := t.printTable
	switch {
	case t.json:
		write = t.printKeysJSON
	case t.names:
		write = t.printNames
	}
	if err := write(keys); err != nil {
		return err
	}
	refused = t.exceptOfServices(refused)
	t.sayNoKeys(len(keys), refused)
	return refused
}

// exceptOfServices only mentions keys of services that this user may not read: it is by design that there are some.
func (t *tool) exceptOfServices(refused error) error {
	if refused == nil || t.dir != "" {
		return refused
	}
	var rest []error
	for _, err := range joined(refused) {
		if ofServices(err) {
			t.say("left out: %v", err)
		} else {
			rest = append(rest, err)
		}
	}
	return errors.Join(rest...)
}

func ofServices(err error) bool {
	var file *provider.FileError
	var dir *os.PathError
	switch {
	case !errors.Is(err, os.ErrPermission):
		return false
	case errors.As(err, &file):
		return filepath.Dir(file.Path) == provider.SystemDir
	default:
		return errors.As(err, &dir) && (dir.Path == provider.SystemDir || filepath.Dir(dir.Path) == provider.SystemDir)
	}
}

// sayNoKeys says why nothing was printed. A directory that is not there is named to programs too: whoever named it may have mistyped it.
func (t *tool) sayNoKeys(keys int, refused error) {
	dirs := provider.DefaultDirs()
	if t.dir != "" {
		dirs = []string{t.dir}
	}
	_, err := os.Stat(dirs[0])
	switch {
	case keys > 0 || refused != nil:
	case t.dir != "" && errors.Is(err, os.ErrNotExist):
		t.say("there is no directory %s", t.dir)
	case !t.json && !t.names:
		t.say("there are no keys in %s; tpmkey new makes one", strings.Join(dirs, " or "))
	}
}

func (t *tool) printNames(keys []*provider.Key) error {
	for _, k := range keys {
		fmt.Fprintln(t.stdout, k.Name())
	}
	return nil
}

func (t *tool) printTable(keys []*provider.Key) error {
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	for _, k := range keys {
		fingerprint, err := fingerprint(k)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s%s\n", k.Name(), k.Public().N.BitLen(), fingerprint, printable(k.Path()), mark(k))
	}
	return w.Flush()
}
