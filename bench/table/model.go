package table

import (
	"strings"

	"tpmkey.example/bench/chip"
)

// Model is what the operations whose commands were counted would take on discrete chips: the median one, from the fastest to the slowest.
func Model(counted []Row) (rows []Row) {
	for _, r := range counted {
		if r.Part != Counted {
			continue
		}
		cells := Cells{}
		for column, cell := range r.Cells {
			cells[column] = onChips(cell)
		}
		rows = append(rows, Row{ID: "chip/" + strings.TrimPrefix(r.ID, "commands/"), Part: Modelled, What: r.What, Unit: Milliseconds, Cells: cells})
	}
	return rows
}

func onChips(counted Cell) Cell {
	if counted.Figure == nil {
		return counted
	}
	times, err := chip.Times(counted.Commands)
	if err != nil {
		return Cannot(err.Error())
	}
	return Span(times...)
}
