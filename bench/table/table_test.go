package table

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write what the tests compare with")

// sample has every kind of cell.
var sample = &Table{
	Machine: []Fact{{"processors", "2 × none"}},
	Rows: append(counted, append(Model(counted),
		Row{ID: "module/sign", Part: Module, What: "C_Sign", Unit: Milliseconds, Bound: AtMost(5), Cells: Cells{Tpmkey: Of(4, 6, 5.5, 5, 9), TPM2PKCS11: Of(12, 11.25, 14), SoftHSM2: Of(0.5)}},
		Row{ID: "module/rate", Part: Module, What: "signatures of 8 threads", Unit: OfRaw, Bound: AtLeast(0.9), Cells: Cells{Tpmkey: Of(0.95), TPM2PKCS11: Cannot("has no threads")}})...),
}

var counted = []Row{
	{ID: "commands/login", Part: Counted, What: "ssh login", Bound: AtMost(4), Cells: Cells{
		Tpmkey:     Counts(1, []string{"TPM2_ReadPublic", "TPM2_Load", "TPM2_Sign", "TPM2_FlushContext"}),
		TPM2PKCS11: Counts(2, []string{"TPM2_GetCapability", "TPM2_GetCapability", "TPM2_Load", "TPM2_RSA_Decrypt", "TPM2_RSA_Decrypt"}),
		SoftHSM2:   Cannot("has no TPM"),
		GoTPMTools: Counts(1, []string{"TPM2_Vendor"}),
	}},
	{ID: "commands/list", Part: Counted, What: "ssh-keygen -D", Bound: AtMost(0), Cells: Cells{Tpmkey: Counts(1, nil), SoftHSM2: Cannot("has no TPM")}},
}

func TestWriteText(t *testing.T) {
	var got bytes.Buffer
	if err := sample.WriteText(&got); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/table.txt", got.Bytes())
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as in %s:\n%s", file, got)
	}
}

func TestJSON(t *testing.T) {
	var written bytes.Buffer
	if err := sample.WriteJSON(&written); err != nil {
		t.Fatal(err)
	}
	read, err := ReadJSON(&written)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, sample) {
		t.Errorf("%+v is not what was written", read)
	}
}

func TestMissed(t *testing.T) {
	for _, row := range []struct {
		bound  *Bound
		cell   Cell
		missed bool
	}{
		{nil, Of(5), false},
		{nil, Cell{}, false},
		{AtMost(5), Of(5), false},
		{AtMost(5), Of(1, 5.1, 9), true},
		{AtMost(0), Counts(1, nil), false},
		{AtMost(0), Counts(1, []string{"TPM2_Sign"}), true},
		{AtLeast(0.9), Of(0.9), false},
		{AtLeast(0.9), Of(0.899), true},
		{AtMost(5), Cannot("broken"), true},
		{AtMost(5), Cell{}, true},
	} {
		r := Row{Bound: row.bound, Cells: Cells{Tpmkey: row.cell}}
		if r.Missed() != row.missed {
			t.Errorf("%v under %v: missed is not %v", row.cell, row.bound, row.missed)
		}
	}
	if !(Row{Bound: AtMost(1)}).Missed() {
		t.Error("what was not measured has reached its bound")
	}
}

func TestOf(t *testing.T) {
	want := Figure{Median: 5, Low: 3, High: 7, Rounds: 9}
	if got := Of(9, 1, 8, 2, 7, 3, 6, 4, 5); !reflect.DeepEqual(*got.Figure, want) {
		t.Errorf("%+v, not %+v", *got.Figure, want)
	}
}

// Every part that a row can have is written.
func TestParts(t *testing.T) {
	for _, p := range []Part{Counted, Module, Between, TLS, Modelled} {
		var b bytes.Buffer
		alone := &Table{Rows: []Row{{Part: p, What: "some work", Cells: Cells{Raw: Of(1)}}}}
		if err := alone.WriteText(&b); err != nil || !bytes.Contains(b.Bytes(), []byte("some work")) {
			t.Errorf("%s: %v, %s", p, err, &b)
		}
	}
}
