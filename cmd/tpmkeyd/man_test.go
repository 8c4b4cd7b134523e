package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The manual page has each flag and no other, and the help has each.
func TestManPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/man/tpmkeyd.8")
	if err != nil {
		t.Fatal(err)
	}
	flags := flag.NewFlagSet("tpmkeyd", flag.ContinueOnError)
	(&options{rules: &namespaces{}}).define(flags)
	flags.Bool("version", false, "")
	flags.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(string(text), "\n.It Fl "+f.Name) {
			t.Errorf("docs/man/tpmkeyd.8 does not tell of -%s", f.Name)
		}
		if !strings.Contains(usage, "\n  -"+f.Name+" ") {
			t.Errorf("the help does not tell of -%s", f.Name)
		}
		if f.DefValue != "" && f.DefValue != "false" && !strings.Contains(string(text), f.DefValue) {
			t.Errorf("docs/man/tpmkeyd.8 does not tell that -%s is %s by default", f.Name, f.DefValue)
		}
	})
	for _, m := range regexp.MustCompile(`(?m)^\.It Fl (\S+)`).FindAllStringSubmatch(string(text), -1) {
		if flags.Lookup(m[1]) == nil {
			t.Errorf("docs/man/tpmkeyd.8 tells of -%s, which there is not", m[1])
		}
	}
}
