package filter

import (
	"fmt"
	"strings"

	"tpmkey.example/rm/wire"
)

// The text of a profile:
//
//	profile NAME [from NAME]: what it is for
//	    a setting
//	allow COMMAND: why
//	    SUBJECT is WORD, WORD or WORD
//	allow COMMAND to COMMAND: why
//
// One text means one profile: what can be read is printed back as it was, byte for byte.

const indent = "    "

// String is the text of the filter: of each of its profiles, with an empty line between them.
func (f *Filter) String() string {
	texts := make([]string, len(f.profiles))
	for i, p := range f.profiles {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// String is the text of the profile as it was written: where it starts from another one, the differences.
func (p *profile) String() string {
	var b strings.Builder
	from := ""
	if p.base != nil {
		from = " from " + p.base.name
	}
	fmt.Fprintf(&b, "profile %s%s: %s\n", p.name, from, p.reason)
	for _, s := range settings {
		if *s.of(p) && (p.base == nil || !*s.of(p.base)) {
			fmt.Fprintf(&b, "%s%s\n", indent, s.text)
		}
	}
	for _, r := range p.rows {
		b.WriteString(r.String())
	}
	return b.String()
}

// String is the row and, on lines of their own, its conditions.
func (r *row) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", r.verdict, r.commands(), r.reason)
	for _, l := range r.clauses {
		fmt.Fprintf(&b, "%s%s is %s\n", indent, l.subject, l.text())
	}
	return b.String()
}

// settings are what a profile says of all commands.
var settings = []struct {
	text string
	of   func(*profile) *bool
}{

	{"sessions may audit", func(p *profile) *bool { return &p.audit }},
	{"no lockout budget holds", func(p *profile) *bool { return &p.unbudgeted }},
}

func (r *row) commands() string {
	if r.first == r.last {
		return commandName(r.first)
	}
	if wire.ShapeOf(r.first) == nil || wire.ShapeOf(r.last) == nil { // a name and a number do not show that they are one range
		return hexCode(r.first) + " to " + hexCode(r.last)
	}
	return commandName(r.first) + " to " + commandName(r.last)
}

// join makes a list to be read: a, b or c.
func join(texts []string) string {
	if n := len(texts) - 1; n > 0 {
		return strings.Join(texts[:n], ", ") + " or " + texts[n]
	}
	return strings.Join(texts, "")
}

func split(list string) []string {
	return strings.Split(strings.Replace(list, " or ", ", ", 1), ", ")
}
