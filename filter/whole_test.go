package filter

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// Profiles whose rows stand before others in every way that there is.
var layered = []string{
	"profile mine from all: x\ndeny TPM2_CreateLoaded: y\n",
	"profile mine from all: x\ndeny TPM2_ClockRateAdjust to TPM2_PolicyRestart: y\nallow TPM2_Sign: z\n    caller is uid 1000\n",
	"profile mine from all: x\ndeny 0x110 to 0x11F: y\ndeny 0x1FF to 0x20000000: z\n",
	"profile mine from all: x\ndeny 0x120 to 0x1FF: all but the first\n",
	"profile mine from all: x\nallow TPM2_PolicySigned to TPM2_ECDH_KeyGen: y\nanswer TPM2_ContextSave: z\n    handle 1 is own object\n",
	"profile mine from rsa: x\nallow 0x100 to 0x20000000: all of it\nallow TPM2_Unseal: y\n    handle 1 is own sealed secret\n",
	"profile mine from rsa: x\nallow 0x1A2 to 0x1FF: what is new\n    authorization is none\n",
	administrators,
}

// A profile that is written out says the same of every command, and can be read again.
func TestWhole(t *testing.T) {
	texts := layered
	for _, name := range Names() {
		f, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, f.String())
	}
	for _, text := range texts {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Parse(f.Whole().String())
		if err != nil {
			t.Errorf("written out:\n%s\n%v", f.Whole(), err)
			continue
		}
		checkSame(t, f, whole)
	}
}

// checkSame wants two filters to say the same of every row of the tests, and to have the same rows for every code at which something may change.
func checkSame(t *testing.T, f, whole *Filter) {
	t.Helper()
	for i, p := range whole.profiles {
		if p.base != nil {
			t.Errorf("%s still starts from %s", p.name, p.base.name)
		}
		for _, code := range corners(f) {
			if a, b := f.profiles[i].lookup(code), p.lookup(code); !sameRow(a, b) {
				t.Errorf("%s, command 0x%x: %+v, written out %+v", f.Name(), uint32(code), a, b)
			}
		}
	}
	for _, row := range checkRows {
		c, err := wire.Parse(row.command)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := f.Check(&c, caller), whole.Check(&c, caller); a != b {
			t.Errorf("%s, %s: %+v, written out %+v", f.Name(), row.name, a, b)
		}
	}
	for _, handle := range []uint32{wire.SRK, 0x81010002, 0x81000042, owner, nullHandle} {
		if f.Lists(handle) != whole.Lists(handle) {
			t.Errorf("%s: 0x%x is listed: %v, written out %v", f.Name(), handle, f.Lists(handle), whole.Lists(handle))
		}
	}
	if f.HasBudget() != whole.HasBudget() || f.Shows(tpm2.TPMHTPCR) != whole.Shows(tpm2.TPMHTPCR) {
		t.Errorf("%s has lost something", f.Name())
	}
}

// corners are the codes at the ends of all rows, and beside them.
func corners(f *Filter) (codes []tpm2.TPMCC) {
	for _, p := range f.profiles {
		for ; p != nil; p = p.base {
			for _, r := range p.rows {
				codes = append(codes, r.first-1, r.first, r.first+1, r.last-1, r.last, r.last+1)
			}
		}
	}
	return codes
}

func sameRow(a, b *row) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.verdict == b.verdict && a.reason == b.reason && len(a.clauses) == len(b.clauses)
}

// A handle that only rows name before which others stand is not the caller's to see.
func TestListedByWhatCounts(t *testing.T) {
	f, err := Parse(`profile mine from attest: no attestation key after all
deny TPM2_Certify: x
deny TPM2_CertifyCreation: x
allow TPM2_ReadPublic: x
    handle 1 is own key or srk
`)
	if err != nil || f.Lists(0x81010002) || !f.Lists(wire.SRK) {
		t.Errorf("listed: %x, %v", f.Listed(), err)
	}
	narrow, err := Parse("profile mine from all: x\ndeny 0x11F to 0x1FF: x\ndeny 0x20000000 to 0x2000FFFF: x\nallow TPM2_Sign: x\n    handle 1 is own key\n")
	if err != nil || narrow.Lists(0x81010001) || narrow.Shows(tpm2.TPMHTPCR) {
		t.Errorf("one command is left, and others' handles show: %v", err)
	}
}

// FuzzWhole: what can be read can be written out, and says the same then.
func FuzzWhole(f *testing.F) {
	for _, text := range layered {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		whole, err := Parse(p.Whole().String())
		if err != nil {
			t.Fatalf("%q written out: %v", text, err)
		}
		checkSame(t, p, whole)
	})
}
