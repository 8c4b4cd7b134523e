package main

import (
	"flag"
	"strings"
	"testing"
)

const rows, columns = 24, 80 // of a terminal

// The help of each verb fits on one screen.
func TestHelpFits(t *testing.T) {
	for _, v := range verbs {
		used := 0
		for line := range strings.Lines(helpOf(t, v.name)) {
			used += (max(1, len(strings.TrimSuffix(line, "\n"))) + columns - 1) / columns
		}
		if used > rows {
			t.Errorf("the help of %s takes %d rows of %d", v.name, used, rows)
		}
	}
}

// The help of each verb names each of its flags.
func TestHelpNamesFlags(t *testing.T) {
	for _, v := range verbs {
		if v.flags == nil {
			continue
		}
		flags := flag.NewFlagSet(v.name, flag.ContinueOnError)
		v.flags(flags, &tool{})
		help := helpOf(t, v.name)
		flags.VisitAll(func(f *flag.Flag) {
			if !strings.Contains(help, "-"+f.Name) {
				t.Errorf("the help of %s does not name -%s", v.name, f.Name)
			}
		})
	}
}
