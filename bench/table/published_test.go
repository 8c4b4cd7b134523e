package table

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

const docs = "../../docs/"

// The page and the picture show the run whose data are beside them, and the model as it is now.
func TestPublished(t *testing.T) {
	run := readRun(t)
	run.Rows = slices.DeleteFunc(run.Rows, func(r Row) bool { return r.Part == Modelled })
	run.Rows = append(run.Rows, Model(run.Rows)...)
	var data, picture, text bytes.Buffer
	for w, write := range map[*bytes.Buffer]func(io.Writer) error{&data: run.WriteJSON, &picture: run.WritePicture, &text: run.WriteText} {
		if err := write(w); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, docs+"bench.json", data.Bytes())
	golden(t, docs+"bench.svg", picture.Bytes())
	golden(t, docs+"bench.md", []byte(published(t, docs+"bench.md", text.String())))
}

func readRun(t *testing.T) *Table {
	t.Helper()
	file, err := os.Open(docs + "bench.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	run, err := ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	return run
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
