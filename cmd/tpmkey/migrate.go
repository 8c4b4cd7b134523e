package main

import (
	"flag"
	"fmt"
	"strings"

	"tpmkey.example/provider"
)

const migrateDetails = `
A key that tpmkey new -migratable made can be moved, wrapped so that only one other
TPM can open it, and goes on working where it was:

  parent                there: print the public part of the TPM's parent key
  export -to FILE NAME  here: print the key, wrapped for the parent in FILE
  import FILE [NAME]    there: make a key of that (default: the label that it had)

Whoever controls the file for -to gets the key: compare the Names that both sides show.

  -out FILE             export: write there: the whole file, or nothing
  -pin-file FILE        export: take the key's PIN from the first line of a file
  -yes                  export: do not ask whether the Name is the right one
  -system, -json        import: as for tpmkey new

The PIN goes with the key. It takes a filter that lets it out and in (migrate).
`

// migrateProfile is the part of the filter that lets keys out, and those in that were made for it.
const migrateProfile = "migrate"

type migrateOptions struct{ to string }

func migrateFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.migrate.to, "to", "", "")
	f.StringVar(&t.operation.out, "out", "", "")
	f.StringVar(&t.pin.file, "pin-file", "", "")
	f.BoolVar(&t.yes, "yes", false, "")
	f.BoolVar(&t.new.system, "system", false, "")
	jsonFlags(f, t)
}

// A migrateVerb is one thing that tpmkey migrate does.
type migrateVerb struct {
	min, max int // how many arguments it takes
	usage    string
	exports  bool // it takes the flags of export
	imports  bool // it takes the flags of import
	run      func(*tool, []string) error
}

var migrateVerbs = map[string]migrateVerb{
	"parent": {0, 0, "parent", false, false, (*tool).migrateParent},
	"export": {1, 1, "export -to FILE NAME", true, false, (*tool).migrateExport},
	"import": {1, 2, "import FILE [NAME]", false, true, (*tool).migrateImport},
}

func runMigrate(t *tool, args []string) error {
	if len(args) == 0 {
		return usageError("migrate parent, export or import; run: tpmkey help migrate")
	}
	v, ok := migrateVerbs[args[0]]
	exporting := t.migrate.to != "" || t.operation.out != "" || t.pin.file != "" || t.yes
	switch importing := t.new.system || t.json; {
	case !ok:
		return usageError(fmt.Sprintf("%q is none of: parent, export, import; run: tpmkey help migrate", args[0]))
	case len(args) <= v.min || len(args) > v.max+1 || v.exports != (t.migrate.to != ""):
		return usageError("it goes so: tpmkey migrate " + v.usage)
	case exporting && !v.exports || importing && !v.imports:
		return usageError("a flag of another kind of migrate; it goes so: tpmkey migrate " + v.usage)
	}
	return t.explainDenial(v.run(t, args[1:]))
}

// migrateParent is what the default filter allows.
func (t *tool) migrateParent([]string) error {
	parent, err := t.open().NewParent()
	if err != nil {
		return err
	}
	if _, err := t.stdout.Write(parent.Format()); err != nil {
		return err
	}
	t.say("this TPM's parent key has Name %x", parent.Name())
	return nil
}

func (t *tool) migrateExport(args []string) error {
	parent, err := t.storageKey(t.migrate.to)
	if err != nil {
		return err
	}
	t.widened = migrateProfile
	key, err := t.secretKey(args[0])
	if err != nil {
		return err
	}
	if !t.yes {
		question := fmt.Sprintf("let key %q go to the TPM whose parent key has Name\n  %x\nas \"tpmkey migrate parent\" shows it there?", key.Name(), parent.Name())
		if err := t.confirm(question, "let it go"); err != nil {
			return err
		}
	}
	text, err := key.Export(parent)
	if err != nil {
		return err
	}
	if err := t.result(text, 0o600); err != nil {
		return err
	}
	t.say("key %q can now be imported by the TPM whose parent key has Name %x, and goes on working here", key.Name(), parent.Name())
	return nil
}

func (t *tool) storageKey(file string) (*provider.StorageKey, error) {
	text, err := t.input(file)
	if err != nil {
		return nil, err
	}
	parent, err := provider.ParseStorageKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", printable(file), err)
	}
	return parent, nil
}

func (t *tool) migrateImport(args []string) error {
	text, err := t.input(args[0])
	if err != nil {
		return err
	}
	dirs, err := t.new.dirs(t.dir)
	if err != nil {
		return err
	}
	t.widened = migrateProfile
	key, err := t.open(dirs...).Adopt(strings.Join(args[1:], ""), text)
	if err != nil {
		return fmt.Errorf("%s: %w", printable(args[0]), err)
	}
	return t.introduceArrived(key, "The TPM that it came from can use it as before, and so can whoever else it was let go to.\n"+mayLeave(key))
}

// mayLeave says what keeps a migratable key where it is.
func mayLeave(key *provider.Key) string {
	if key.HasPIN() {
		return "It can be moved to other TPMs by whoever knows its PIN and whom the filter lets do it; it does not pass as born in this one."
	}
	return "It can be moved to other TPMs by whoever can read its file and whom the filter lets do it; it does not pass as born in this one."
}
