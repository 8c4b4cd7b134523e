package table

import (
	"slices"

	"tpmkey.example/bench/chip"
)

// Cells have no entry for whom nothing was measured.
type Cells map[Column]Cell

// A Cell has a figure, or why there can be none.
type Cell struct {
	*Figure
	Cannot string `json:"cannot,omitempty"`
}

// Cannot is the cell of who cannot do the work.
func Cannot(why string) Cell { return Cell{Cannot: why} }

// A Figure is a median and the spread around it.
type Figure struct {
	Median   float64        `json:"median"`
	Low      float64        `json:"low"`  // first quartile of rounds; of chips modelled, the fastest
	High     float64        `json:"high"` // third quartile; the slowest
	Rounds   int            `json:"rounds"`
	Commands []chip.Command `json:"commands,omitempty"` // where they were counted
}

// Of is the cell of what rounds took.
func Of(rounds ...float64) Cell {
	sorted := slices.Sorted(slices.Values(rounds))
	last := len(sorted) - 1
	quarter := last / 4
	return Cell{Figure: &Figure{Median: sorted[len(sorted)/2], Low: sorted[quarter], High: sorted[last-quarter], Rounds: len(sorted)}}
}

// Span is Of with a spread from the least to the most.
func Span(values ...float64) Cell {
	cell := Of(values...)
	cell.Low, cell.High = slices.Min(values), slices.Max(values)
	return cell
}

// Counts is the cell of the commands that reached the chip for a number of operations.
func Counts(operations int, names []string) Cell {
	cell := Of(float64(len(names)) / float64(operations))
	times := map[string]int{}
	for _, name := range names {
		times[name]++
	}
	for _, name := range names {
		if n := times[name]; n > 0 { // the first time, as they are in their order
			cell.Commands = append(cell.Commands, chip.Command{Name: name, Each: float64(n) / float64(operations)})
			delete(times, name)
		}
	}
	return cell
}
