package table

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What the page and the picture show is what the run measured that is kept beside them.
func TestPublished(t *testing.T) {
	file, err := os.Open("../../docs/bench.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	run, err := ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	var picture, text bytes.Buffer
	if err := run.WritePicture(&picture); err != nil {
		t.Fatal(err)
	}
	if err := run.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/bench.svg", picture.Bytes())
	golden(t, "../../docs/bench.md", []byte(published(t, "../../docs/bench.md", text.String())))
}

// published is a page with another table in the place of its own.
func published(t *testing.T, page, table string) string {
	t.Helper()
	const begin, end = "<!-- make bench-picture writes what follows -->\n\n", "\n<!-- and ends here -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		t.Fatalf("%s has no place for the table, between %q and %q", page, begin, end)
	}
	return before + begin + table + end + after
}
