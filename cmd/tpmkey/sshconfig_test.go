package main

import (
	"slices"
	"strings"
	"testing"
)

// A line of ssh_config in the forms that ssh takes.
func TestStatement(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                  {""},
		"  # Host x":                        {""},
		"Host a b\t*.c\n":                   {"host", "a", "b", "*.c"},
		"\tPKCS11Provider=/x":               {"pkcs11provider", "/x"},
		"pkcs11provider  =  \"/a b.so\" ":   {"pkcs11provider", "/a b.so"},
		"PKCS11Provider\"/a b.so\"":         {"pkcs11provider", "/a b.so"},
		"PKCS11Provider /x # a remark\r\n":  {"pkcs11provider", "/x"},
		"ForwardAgent":                      {"forwardagent"},
		"Include \"a b\" c":                 {"include", "a b", "c"},
		"ProxyCommand \"unfinished":         {"proxycommand", "unfinished"},
		"IdentityFile ~/.ssh/id # Host two": {"identityfile", "~/.ssh/id"},
	} {
		keyword, words := statement(line)
		if got := append([]string{keyword}, words...); !slices.Equal(got, want) {
			t.Errorf("%q: %q, not %q", line, got, want)
		}
	}
}

func TestForAll(t *testing.T) {
	for line, want := range map[string]bool{
		"Host *": true, "Host a *": true, "Host **": true, "Host ?*": true, "Match all": true, "match ALL": true,
		"Host a": false, "Host * !a": false, "Host *.a": false, "Match host *": false, "Match final all": false, "Host": false,
	} {
		if keyword, words := statement(line); forAll(keyword, words) != want {
			t.Errorf("%q is not %v", line, want)
		}
	}
}

// Whatever the text: our lines go in once, stay, and leave it as it was, but for a line end.
func FuzzSSHConfig(f *testing.F) {
	for _, text := range []string{"", "\n", "\n\n", "User me", "User me\n\n", "Host a\n\tPort 1\r\n", "Include x\nHost *\n", "Match all\n" + sshBlock("/x") + "\nHost b\n"} {
		f.Add(text)
	}
	block := sshBlock("/usr/lib/tpmkey-pkcs11.so")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, blockBegin) || strings.Contains(text, blockEnd) {
			return
		}
		c, err := parseSSHConfig(text)
		if err != nil || c.without() != text {
			t.Fatalf("%q without our lines: %q, %v", text, c.without(), err)
		}
		once, err := parseSSHConfig(c.with(block))
		if err != nil || strings.TrimPrefix(once.block, "\n") != block || once.with(block) != c.with(block) {
			t.Fatalf("%q with our lines: %+v, %v", text, once, err)
		}
		if back := once.without(); back != text && back != text+"\n" {
			t.Errorf("%q came back as %q", text, back)
		}
	})
}
