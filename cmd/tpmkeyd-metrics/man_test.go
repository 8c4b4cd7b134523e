package main

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The manual page has each flag and no other, and the help has each.
func TestManPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/man/tpmkeyd-metrics.8")
	if err != nil {
		t.Fatal(err)
	}
	flags := flag.NewFlagSet("tpmkeyd-metrics", flag.ContinueOnError)
	new(options).define(flags)
	var want, got []string
	flags.VisitAll(func(f *flag.Flag) {
		want = append(want, f.Name)
		if !strings.Contains(usage, "\n  -"+f.Name+" ") {
			t.Errorf("the help does not tell of -%s", f.Name)
		}
	})
	for _, m := range regexp.MustCompile(`(?m)^\.It Fl (\S+)`).FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/man/tpmkeyd-metrics.8 tells of %q, want %q", got, want)
	}
}
