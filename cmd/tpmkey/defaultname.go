package main

import (
	"fmt"
	"os"
	"os/user"
	"strings"

	"tpmkey.example/provider"
)

// defaultName is what a key is called whose maker did not say: USER@HOST, as ssh-keygen writes into a comment.
func defaultName() string {
	person := ""
	if u, err := user.Current(); err == nil {
		person = u.Username
	}
	host, _ := os.Hostname() // none is a name too
	return nameOf(person, host)
}

const maxDefaultName = 64 // bytes: for people to type

// nameOf makes a key's name of what may hold anything: a shell word without quotes.
func nameOf(person, host string) string {
	host, _, _ = strings.Cut(host, ".")
	person, host = plain(person), plain(host)
	if person == "" {
		person = "key"
	}
	if host == "" {
		return person
	}
	return person + "@" + host
}

func plain(word string) string {
	word = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
			return r
		}
		return '-'
	}, word)
	return strings.Trim(word[:min(len(word), maxDefaultName/2)], "-.")
}

// newName is the name of a key to be made: the one that was given, or the default one while it is free. A second key without a name is more likely forgetfulness
// than a wish.
func newName(keys *provider.Provider, args []string) (string, error) {
	if len(args) > 0 {
		return oneName(args)
	}
	name := defaultName()
	if k, err := keys.Key(name); err == nil {
		return "", fmt.Errorf("%w: %q is yours already; see: tpmkey show %s; for another one say its name: tpmkey new NAME", provider.ErrExists, k.Name(), k.Name())
	}
	return name, nil
}
