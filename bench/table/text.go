package table

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tpmkey.example/bench/chip"
)

// WriteText writes the table for people: Markdown that reads well as it is.
func (t *Table) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, f := range t.Machine {
		fmt.Fprintf(&b, "* %s: %s\n", f.Name, f.Value)
	}
	b.WriteString("\nFigures are medians of rounds, with the quartiles around them; of chips, with the fastest and the slowest. What has a — was not measured.\n")
	for _, p := range Parts {
		if rows := t.part(p); len(rows) > 0 {
			fmt.Fprintf(&b, "\n**%s**\n\n", p)
			writeGrid(&b, p.grid(rows))
			writeReasons(&b, rows)
		}
	}
	if len(t.part(Modelled)) > 0 {
		b.WriteString("\n**The chips of the model, ms**\n\n")
		writeGrid(&b, chips())
	}
	writeCommands(&b, t.part(Counted))
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) part(p Part) []Row {
	return slices.DeleteFunc(slices.Clone(t.Rows), func(r Row) bool { return r.Part != p })
}

// grid has a line for each row, and a column for whom any of the rows has a cell.
func (p Part) grid(rows []Row) [][]string {
	columns := slices.DeleteFunc(slices.Clone(Columns), func(c Column) bool {
		return !slices.ContainsFunc(rows, func(r Row) bool { _, has := r.Cells[c]; return has })
	})
	lines := [][]string{{"", "unit", "rounds", "bound"}}
	if p == Modelled {
		lines[0][2] = "chips"
	}
	for _, c := range columns {
		lines[0] = append(lines[0], string(c))
	}
	for _, r := range rows {
		line := []string{r.What, string(r.Unit), strconv.Itoa(r.rounds()), r.Bound.String()}
		for _, c := range columns {
			line = append(line, r.print(c))
		}
		lines = append(lines, line)
	}
	return withoutEmpty(lines)
}

// withoutEmpty leaves out the columns that have nothing but a head.
func withoutEmpty(lines [][]string) [][]string {
	for i := len(lines[0]) - 1; i > 0; i-- {
		if !slices.ContainsFunc(lines[1:], func(line []string) bool { return line[i] != "" }) {
			for n := range lines {
				lines[n] = slices.Delete(lines[n], i, i+1)
			}
		}
	}
	return lines
}

// rounds is what a row's figures are medians of.
func (r Row) rounds() (n int) {
	for _, cell := range r.Cells {
		if cell.Figure != nil {
			n = max(n, cell.Rounds)
		}
	}
	return n
}

// String is how the bound stands in the table.
func (b *Bound) String() string {
	switch {
	case b == nil:
		return ""
	case b.Least:
		return "≥ " + digits(b.Limit)
	}
	return "≤ " + digits(b.Limit)
}

// print is the text of a cell.
func (r Row) print(c Column) string {
	cell, measured := r.Cells[c]
	text := "—"
	if measured {
		text = cell.String()
	}
	if c == Tpmkey && r.Missed() {
		return "**" + text + " MISSED**"
	}
	return text
}

// String is the median, and around it the spread if there is any.
func (c Cell) String() string {
	switch {
	case c.Figure == nil:
		return "cannot"
	case c.Low == c.High:
		return digits(c.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(c.Median), digits(c.Low), digits(c.High))
}

// digits are the three that matter; of whole numbers all.
func digits(v float64) string {
	if v == math.Trunc(v) || math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// writeGrid aligns the columns. The first is text, the others are figures.
func writeGrid(b *strings.Builder, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, line := range lines {
		for i, cell := range line {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(b, "| %s%s |", cell, space)
			} else {
				fmt.Fprintf(b, " %s%s |", space, cell)
			}
		}
		b.WriteByte('\n')
		if n == 0 {
			writeRule(b, widths)
		}
	}
}

// writeRule says below the heads which way columns are aligned.
func writeRule(b *strings.Builder, widths []int) {
	fmt.Fprintf(b, "|:%s|", strings.Repeat("-", widths[0]+1))
	for _, width := range widths[1:] {
		fmt.Fprintf(b, "%s:|", strings.Repeat("-", width+1))
	}
	b.WriteByte('\n')
}

// writeReasons says of all that cannot do something why not, once for each reason.
func writeReasons(b *strings.Builder, rows []Row) {
	var lines []string
	for _, c := range Columns {
		for _, r := range rows {
			line := fmt.Sprintf("* %s cannot: %s\n", c, r.Cells[c].Cannot)
			if r.Cells[c].Cannot != "" && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n%s", strings.Join(lines, ""))
	}
}

// chips is the grid of what was published.
func chips() [][]string {
	lines := [][]string{{"", "RSA 2048 operation", "RSA 2048 key made", "P-256 key made", "P-256 agreement", "GetRandom", "Load, ContextLoad, ContextSave (inferred)"}}
	for _, c := range chip.Chips {
		line := []string{c.Name}
		for _, ms := range []float64{c.Private, c.RSA, c.ECC, c.Agree, c.Random, chip.Unwrap} {
			line = append(line, digits(ms))
		}
		lines = append(lines, line)
	}
	return lines
}

// writeCommands lists which commands were counted.
func writeCommands(b *strings.Builder, rows []Row) {
	if len(rows) > 0 {
		b.WriteString("\n**Which commands these are**\n\n")
	}
	for _, r := range rows {
		for _, c := range Columns {
			if cell := r.Cells[c]; cell.Figure != nil && len(cell.Commands) > 0 {
				fmt.Fprintf(b, "* %s, %s: %s\n", r.What, c, list(cell.Commands))
			}
		}
	}
}

func list(commands []chip.Command) string {
	var names []string
	for _, c := range commands {
		name := strings.TrimPrefix(c.Name, "TPM2_")
		if c.Each != 1 {
			name = digits(c.Each) + " × " + name
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
