package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"tpmkey.example/filter"
)

const filterDetails = `
  list               the built-in profiles, from the narrowest to the widest
  show NAME|FILE     the text of a profile; -whole: with what it starts from
  check FILE         whether a file is a profile; - is standard input
  explain COMMAND    what becomes of a TPM command: TPM2_Clear, clear, 0x126, or
                     its bytes in hex with any blanks; - is standard input

  -filter NAME|FILE  the profile that decides (default: rsa)
  -uid N             who sends the command (default: anybody)
  -json              list: an array of name, default, purpose; explain: an
                     object: command, verdict (allow, answer, deny), conditional,
                     reason, response, needs (what, else), rules (name, text)

What depends on the moment is not told: quotas, and brakes on guessed passwords.
`

type filterOptions struct {
	profile string
	uid     *uint32
	whole   bool
}

func filterFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.StringVar(&t.filter.profile, "filter", "", "")
	f.BoolVar(&t.filter.whole, "whole", false, "")
	f.Func("uid", "", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return errors.New("not the number of a user")
		}
		uid := uint32(n)
		t.filter.uid = &uid
		return nil
	})
}

// given names the flags that were set.
func (o filterOptions) given() (names []string) {
	if o.profile != "" {
		names = append(names, "-filter")
	}
	if o.uid != nil {
		names = append(names, "-uid")
	}
	if o.whole {
		names = append(names, "-whole")
	}
	return names
}

// A filterVerb is one thing that tpmkey filter does.
type filterVerb struct {
	name    string
	operand string // "": none
	words   bool   // the operand may be several words
	flags   []string
	run     func(t *tool, operand string) error
}

var filterVerbs = []filterVerb{
	{"list", "", false, []string{"-json"}, (*tool).listProfiles},
	{"show", "NAME", false, []string{"-whole"}, (*tool).showProfile},
	{"check", "FILE", false, nil, (*tool).checkProfile},
	{"explain", "COMMAND", true, []string{"-filter", "-uid", "-json"}, (*tool).explain},
}

func runFilter(t *tool, args []string) error {
	if len(args) == 0 {
		return usageError("it takes list, show, check or explain; run: tpmkey help filter")
	}
	i := slices.IndexFunc(filterVerbs, func(v filterVerb) bool { return v.name == args[0] })
	if i < 0 {
		return usageError(fmt.Sprintf("filter does list, show, check and explain, not %q; run: tpmkey help filter", args[0]))
	}
	v, given := filterVerbs[i], t.filter.given()
	if t.json {
		given = append(given, "-json")
	}
	if err := v.fits(args[1:], given); err != nil {
		return err
	}
	return v.run(t, strings.Join(args[1:], " "))
}

// fits tells whether a verb takes so many operands, and these flags.
func (v filterVerb) fits(operands, flags []string) error {
	for _, flag := range flags {
		if !slices.Contains(v.flags, flag) {
			return usageError(fmt.Sprintf("filter %s takes no %s; run: tpmkey help filter", v.name, flag))
		}
	}
	if (v.operand == "") != (len(operands) == 0) || len(operands) > 1 && !v.words {
		return usageError(strings.TrimSpace("it is used as: tpmkey filter " + v.name + " " + v.operand))
	}
	return nil
}

func (t *tool) listProfiles(string) error {
	var profiles []*filter.Filter
	for _, name := range filter.Names() {
		f, err := filter.Named(name)
		if err != nil {
			return err
		}
		profiles = append(profiles, f)
	}
	if t.json {
		return t.printProfilesJSON(profiles)
	}
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	for _, f := range profiles {
		name := f.Name()
		if name == filter.Default().Name() {
			name += " (the default)"
		}
		fmt.Fprintf(w, "%s\t%s\n", name, f.Purpose())
	}
	return w.Flush()
}

func (t *tool) showProfile(name string) error {
	f, err := t.profile(name)
	if err != nil {
		return err
	}
	if t.filter.whole {
		f = f.Whole()
	}
	_, err = io.WriteString(t.stdout, f.String())
	return err
}

func (t *tool) checkProfile(path string) error {
	f, err := t.readProfile(path)
	if err != nil {
		return err
	}
	chip, answered := f.Count()
	_, err = fmt.Fprintf(t.stdout, "%s: profile %s: %d commands reach the chip, %d are answered without it\n", fileName(path), f.Name(), chip, answered)
	return err
}

// profile is a built-in one, or a file where no built-in one has the name.
func (t *tool) profile(name string) (*filter.Filter, error) {
	f, err := filter.Named(name)
	if err == nil {
		return f, nil
	}
	if _, missing := os.Stat(name); errors.Is(missing, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; nor is it a file", err)
	}
	return t.readProfile(name)
}

// maxProfile is far more than all commands with all that can be said of them.
const maxProfile = 256 << 10

func (t *tool) readProfile(path string) (*filter.Filter, error) {
	text, err := t.readText(path, maxProfile)
	if err != nil {
		return nil, err
	}
	f, err := filter.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fileName(path), err)
	}
	return f, nil
}

// readText reads a file, or standard input by the name of "-", and no more of it than can be of use.
func (t *tool) readText(path string, most int64) (string, error) {
	file := t.stdin
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return "", fileError(path, err)
		}
		defer opened.Close()
		file = opened
	}
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case err != nil:
		return "", fileError(path, err)
	case int64(len(text)) > most:
		return "", fmt.Errorf("%s: it has more than %d KiB; that cannot be what is wanted here", fileName(path), most>>10)
	}
	return string(text), nil
}

// fileError says of a file what the system says.
func fileError(path string, err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("%s: %w", fileName(path), err)
}

func fileName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return printable(path)
}
