package table

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
)

// shown has a row for each panel, in which tpmkey needs half of what the others need, and the last cannot.
func shown() *Table {
	t := &Table{}
	for _, p := range panels {
		cells := Cells{}
		for i, c := range p.columns {
			cells[c] = Of(1000, 1000, 1000)
			if i == len(p.columns)-1 && i > 1 {
				cells[c] = Cannot("<has no \"time\" & space>")
			}
		}
		cells[Tpmkey] = Of(100, 500, 700, 900, 500)
		t.Rows = append(t.Rows, Row{ID: p.row, Bound: AtMost(499), Cells: cells})
	}
	return t
}

// An element is what a test looks at.
type element struct {
	name  string
	attrs map[string]string
}

func draw(t *testing.T, of *Table) (text string, elements []element) {
	t.Helper()
	var b bytes.Buffer
	if err := of.WritePicture(&b); err != nil {
		t.Fatal(err)
	}
	text = b.String()
	for decoder := xml.NewDecoder(&b); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return text, elements
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if start, ok := token.(xml.StartElement); ok {
			e := element{start.Name.Local, map[string]string{}}
			for _, a := range start.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			elements = append(elements, e)
		}
	}
}

// Every figure has its bar, as long as it says.
func TestPictureBars(t *testing.T) {
	text, elements := draw(t, shown())
	want := map[string]int{"ours": 0, "peer": 0}
	for _, p := range panels {
		want["ours"]++
		want["peer"] += min(len(p.columns), 2) - 1
		if len(p.columns) > 3 {
			want["peer"] += len(p.columns) - 3
		}
		if !strings.Contains(text, ">"+p.title+"<") {
			t.Errorf("it does not say %q", p.title)
		}
	}
	lengths := map[string]string{"ours": "200", "peer": "400"}
	for _, e := range elements {
		class := e.attrs["class"]
		if e.name != "rect" || class == "page" {
			continue
		}
		want[class]--
		if e.attrs["width"] != lengths[class] {
			t.Errorf("a bar of class %s is %s long, not %s", class, e.attrs["width"], lengths[class])
		}
	}
	if want["ours"] != 0 || want["peer"] != 0 {
		t.Errorf("bars that are missing: %v", want)
	}
}

// It is at most 800 wide, all of it is inside, and it needs nothing else.
func TestPictureStandsAlone(t *testing.T) {
	text, elements := draw(t, shown())
	size := elements[0].attrs
	for _, e := range elements {
		if e.name == "script" || e.name == "image" || e.name == "foreignObject" || e.attrs["href"] != "" {
			t.Errorf("it has a %s", e.name)
		}
		if inside(t, e.attrs["x"], size["width"]) && inside(t, e.attrs["y"], size["height"]) {
			continue
		}
		t.Errorf("outside of it: %v", e)
	}
	if !inside(t, size["width"], "800") {
		t.Errorf("it is %s wide", size["width"])
	}
	for _, needed := range []string{"prefers-color-scheme: dark", ">cannot<", ">500 (500–700), must be ≤ 499<"} {
		if !strings.Contains(text, needed) {
			t.Errorf("it has no %q", needed)
		}
	}
	if strings.Contains(text, "url(") || strings.Contains(text, "@import") || strings.Count(text, "://") != 1 {
		t.Error("it has more addresses than its namespace")
	}
}

func inside(t *testing.T, position, size string) bool {
	t.Helper()
	if position == "" {
		return true
	}
	p, err := strconv.ParseFloat(position, 64)
	s, err2 := strconv.ParseFloat(size, 64)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return p >= 0 && p <= s
}

func TestPictureOfHalfATable(t *testing.T) {
	half := shown()
	gone := half.Rows[3].ID
	half.Rows = append(half.Rows[:3], half.Rows[4:]...)
	if err := half.WritePicture(io.Discard); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("row %s is missing: %v", gone, err)
	}
}
