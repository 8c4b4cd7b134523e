package filter

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

const manFile = "../docs/man/tpmkey-profiles.5"

// Between these lines of the manual page stands what a condition can say.
const (
	wordsBegin = ".\\\" words: go test ./filter -run TestManPage -update\n"
	wordsEnd   = ".\\\" end of words\n"
)

// The manual page has every word that a condition can say.
func TestManPage(t *testing.T) {
	text, err := os.ReadFile(manFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), wordsBegin)
	_, after, ends := strings.Cut(rest, wordsEnd)
	if !begins || !ends {
		t.Fatalf("%s has no place for words", manFile)
	}
	want := before + wordsBegin + manWords() + wordsEnd + after
	if tpmtest.Update() {
		if err := os.WriteFile(manFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s has other words than the table; make it anew: go test ./filter -run TestManPage -update", manFile)
	}
}

func manWords() string {
	var b strings.Builder
	b.WriteString(".Bl -tag -width Ds\n")
	for _, row := range []struct {
		subject string
		clause  clause
	}{
		{"caller", clause{subject: "caller"}},
		{"handle N", clause{handle: 1}},
		{"authorization", clause{subject: "authorization"}},
		{strings.Join(keys(publicSubjects), " , "), clause{subject: keys(publicSubjects)[0]}},
	} {
		writeManWords(&b, row.subject, row.clause.vocabulary())
	}
	for _, subject := range keys(paramWords) {
		writeManWords(&b, subject, (&clause{subject: subject}).vocabulary())
	}
	writeManWords(&b, strings.Join(keys(sizedParams), " , "), []string{"empty", "at most N bytes", "N to M bytes"})
	writeManWords(&b, strings.Join(keys(listParams), " , "), []string{"empty"})
	writeManWords(&b, strings.Join(keys(numberParams), " , "), []string{"at most N"})
	b.WriteString(".El\n")
	return b.String()
}

func writeManWords(b *strings.Builder, subject string, words []string) {
	fmt.Fprintf(b, ".It Cm %s\n%s\n", subject, strings.ReplaceAll(strings.Join(words, ";\n"), "…", "..."))
}
