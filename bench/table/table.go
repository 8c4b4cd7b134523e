// Package table keeps the figures of one run of the benchmarks: a row for each kind of work, in it a cell for each that did it. It writes them as text,
// as JSON and as a picture.
package table

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// A Table is one run.
type Table struct {
	Machine []Fact `json:"machine"`
	Rows    []Row  `json:"rows"`
}

// A Fact is something that the figures depend on: the processor, a version.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Row is one kind of work.
type Row struct {
	ID    string `json:"id"`
	Part  Part   `json:"part"`
	What  string `json:"what"`
	Unit  Unit   `json:"unit"`
	Bound *Bound `json:"bound,omitempty"` // of what tpmkey may take, or must reach
	Cells Cells  `json:"cells"`
}

// A Part of the table has rows of one kind.
type Part string

const (
	Counted  Part = "TPM commands for one operation"
	Module   Part = "The PKCS #11 module"
	Between  Part = "Between clients and the chip"
	TLS      Part = "TLS servers in Go"
	Modelled Part = "Modelled, not measured: one operation on a discrete chip"
)

// Parts are all, in the order of the table.
var Parts = []Part{Counted, Module, Between, TLS, Modelled}

// A Unit is what a row's figures are in.
type Unit string

const (
	Number       Unit = ""
	Milliseconds Unit = "ms"
	Microseconds Unit = "µs"
	KiB          Unit = "KiB"
	Times        Unit = "times"
	OfRaw        Unit = "of raw" // part of what the chip does when nothing is between
	PerSecond    Unit = "per s"
)

// A Bound is the least that tpmkey must reach, or the most that it may take.
type Bound struct {
	Least bool    `json:"least"`
	Limit float64 `json:"limit"`
}

// AtMost is for what should be little.
func AtMost(limit float64) *Bound { return &Bound{Limit: limit} }

// AtLeast is for what should be much.
func AtLeast(limit float64) *Bound { return &Bound{Least: true, Limit: limit} }

// A Column is who did the work.
type Column string

const (
	Tpmkey     Column = "tpmkey"
	TPM2PKCS11 Column = "tpm2-pkcs11"
	TPM2Abrmd  Column = "tpm2-abrmd"
	SoftHSM2   Column = "SoftHSM2"
	GoKeyfiles Column = "go-tpm-keyfiles"
	GoTPMTools Column = "go-tpm-tools"
	TPMKMS     Column = "tpmkms"
	Raw        Column = "raw" // commands to the chip, with nothing between
)

// Columns are all, in the order of the table.
var Columns = []Column{Tpmkey, TPM2PKCS11, TPM2Abrmd, SoftHSM2, GoKeyfiles, GoTPMTools, TPMKMS, Raw}

// Missed tells whether tpmkey did not do what its bound wants.
func (r Row) Missed() bool {
	cell := r.Cells[Tpmkey]
	switch {
	case r.Bound == nil:
		return false
	case cell.Figure == nil:
		return true
	case r.Bound.Least:
		return cell.Median < r.Bound.Limit
	}
	return cell.Median > r.Bound.Limit
}

// WriteJSON writes the whole table.
func (t *Table) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "\t")
	return encoder.Encode(t)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(r io.Reader) (*Table, error) {
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	t := &Table{}
	if err := decoder.Decode(t); err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	return t, nil
}

// Row finds one by its ID.
func (t *Table) Row(id string) (Row, bool) {
	i := slices.IndexFunc(t.Rows, func(r Row) bool { return r.ID == id })
	if i < 0 {
		return Row{}, false
	}
	return t.Rows[i], true
}
