package filter

import (
	"cmp"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// Whole is the same filter with each profile written out: no profile starts from another one, and all rows that count are its own.
func (f *Filter) Whole() *Filter {
	whole := &Filter{}
	for _, p := range f.profiles {
		whole.profiles = append(whole.profiles, p.flat())
	}
	return whole
}

// flat is the profile with all rows that count, in the order of their codes.
func (p *profile) flat() *profile {
	w := &profile{name: p.name, reason: p.reason, audit: p.audit, unbudgeted: p.unbudgeted, index: map[tpm2.TPMCC]*row{}}
	for level := p; level != nil; level = level.base {
		w.cover(level.rows, true) // one command goes before a range
		w.cover(level.rows, false)
	}
	slices.SortStableFunc(w.rows, func(a, b *row) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last)) })
	w.survey()
	return w
}

// cover adds what no row says yet: of rows for one command, or of ranges.
func (p *profile) cover(rows []*row, single bool) {
	for _, r := range rows {
		if (r.first == r.last) == single {
			p.add(p.uncovered(r))
		}
	}
}

func (p *profile) add(rows []*row) {
	p.rows = append(p.rows, rows...)
	for _, r := range rows {
		if r.first == r.last {
			p.index[r.first] = r
		}
	}
}

// uncovered is what is left of a row below those of p, which come first: all of it, none, or the parts of a range.
func (p *profile) uncovered(r *row) []*row {
	if r.first == r.last && p.index[r.first] != nil {
		return nil
	}
	parts := []*row{r}
	for _, upper := range p.rows {
		if upper.first == upper.last {
			continue // it goes before any range
		}
		var left []*row
		for _, part := range parts {
			left = append(left, part.without(upper)...)
		}
		parts = left
	}
	return slices.DeleteFunc(parts, func(part *row) bool { return part.first == part.last && p.index[part.first] != nil })
}

// without is a row for the commands that another one does not speak of.
func (r *row) without(other *row) []*row {
	if other.last < r.first || r.last < other.first {
		return []*row{r}
	}
	var left []*row
	if r.first < other.first {
		left = append(left, r.of(r.first, other.first-1))
	}
	if other.last < r.last {
		left = append(left, r.of(other.last+1, r.last))
	}
	return left
}

func (r *row) of(first, last tpm2.TPMCC) *row {
	part := *r
	part.first, part.last = first, last
	return &part
}
