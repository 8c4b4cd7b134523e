package filter

import (
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// nothing is a caller who holds nothing at all.
type nothing struct{ uid uint32 }

func (nothing) Object(uint32) (Object, bool) { return Object{}, false }
func (nothing) HoldsSession(uint32) bool     { return false }
func (nothing) SavedSession(uint32) bool     { return false }
func (n nothing) Caller() uint32             { return n.uid }

// everything is a caller whose every handle is the same.
type everything struct {
	object Object
	uid    uint32
}

func (e everything) Object(uint32) (Object, bool) { return e.object, true }
func (everything) HoldsSession(uint32) bool       { return true }
func (everything) SavedSession(uint32) bool       { return true }
func (e everything) Caller() uint32               { return e.uid }

// holders are callers with one uid who hold different things.
func holders(uid uint32) []Holder {
	list := []Holder{nothing{uid}}
	for _, alg := range []tpm2.TPMAlgID{tpm2.TPMAlgRSA, tpm2.TPMAlgECC, tpm2.TPMAlgKeyedHash} {
		for _, attributes := range []uint32{0, wire.Sign, wire.Decrypt, wire.Sign | wire.Decrypt, wire.Restricted | wire.Decrypt, wire.Restricted | wire.Sign, wire.AdminWithPolicy} {
			list = append(list, everything{Object{Type: alg, Attributes: attributes}, uid})
		}
	}
	list = append(list, everything{Object{Sequence: true}, uid})
	if uid == 1000 {
		list = append(list, caller, widely)
	}
	return list
}

func explainers(t testing.TB) (filters []*Filter) {
	texts := append([]string{administrators}, layered...)
	for _, name := range Names() {
		f, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		filters = append(filters, f)
	}
	for _, text := range texts {
		f, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		filters = append(filters, f)
	}
	return filters
}

// checkExplanation holds an explanation against the decisions about callers who do hold something.
func checkExplanation(t *testing.T, f *Filter, command []byte) {
	t.Helper()
	c, err := wire.Parse(command)
	if err != nil || c.Shape.NameOnly() {
		return
	}
	for _, uid := range []uint32{0, 1000, 1001} {
		told, untold := f.ExplainCommand(command, &uid), f.ExplainCommand(command, nil)
		if told.Allowed && !untold.Allowed {
			t.Errorf("%s: uid %d may send %x, and nobody may", f.Name(), uid, command)
		}
		for _, h := range holders(uid) {
			d := f.Check(&c, h)
			fits(t, f, told, d, command)
			fits(t, f, untold, d, command)
		}
		if d := f.Check(&c, nothing{uid}); told.Allowed && len(told.Needs) > 0 && (d.Allowed || d.RC != told.Needs[0].Else) {
			t.Errorf("%s: %x by a caller who holds nothing: %+v, explained %+v", f.Name(), command, d, told.Needs)
		}
	}
}

// fits wants a decision to be one that the explanation foretells.
func fits(t *testing.T, f *Filter, e Explanation, d Decision, command []byte) {
	t.Helper()
	switch {
	case d.Allowed && !e.Allowed:
		t.Errorf("%s: %x is let through, and was to be denied: %+v", f.Name(), command, e)
	case !d.Allowed && e.Allowed && !slices.ContainsFunc(e.Needs, func(n Need) bool { return n.Else == d.RC }):
		t.Errorf("%s: %x is denied (%+v), and none of its needs says so: %+v", f.Name(), command, d, e.Needs)
	case len(e.Rules) == 0 || e.Command == "" || !e.Allowed && (e.Why == "" || e.RC == 0):
		t.Errorf("%s: %x is explained without a rule, a reason or a code: %+v", f.Name(), command, e)
	}
}

func TestExplanationsAreTrue(t *testing.T) {
	for _, f := range explainers(t) {
		for _, row := range checkRows {
			checkExplanation(t, f, row.command)
		}
		for _, row := range profileRows {
			checkExplanation(t, f, row.command)
		}
	}
}

func uid(n uint32) *uint32 { return &n }

// What is said of single commands.
var explainRows = []struct {
	name    string
	profile string
	command []byte
	caller  *uint32
	want    Decision // Why may be cut short
	needs   []Need
}{
	{"a signature", "rsa", sign(keyHandle, []auth{{0x02000001, 0x21}}, rsassa, ticket), nil, allowed, []Need{
		{"0x02000001 is a session of the caller's own", 0x918}, {"0x80000002 is an object of the caller's own", 0x910},
		{"handle 1, 0x80000002, is own rsa key that signs", RCDenied}}},
	{"one of two kinds", "rsa+ecc", sign(keyHandle, password, rsassa, ticket), nil, allowed, []Need{
		{"0x80000002 is an object of the caller's own", 0x910}, {"handle 1, 0x80000002, is own rsa key that signs or own ecc key that signs", RCDenied}}},
	{"below the storage root key", "rsa", load(wire.SRK, public(same)), nil, allowed, []Need{{"a storage root key is at 0x81000001", RCNoSuch}}},
	{"a persistent key", "attest", command(tpm2.TPMCCReadPublic, []uint32{0x81010002}, nil), nil, allowed, []Need{{"an object is at 0x81010002", RCNoSuch}}},
	{"flush", "rsa", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(keyHandle)), nil, allowed, []Need{{"0x80000002 is an object of the caller's own", RCNoValue}}},
	{"flush the storage root key", "rsa", command(tpm2.TPMCCFlushContext, nil, nil, uint32s(wire.SRK)), nil, Decision{RC: RCNoValue, Rule: "U3"}, nil},
	{"random bytes", "rsa", command(tpm2.TPMCCGetRandom, nil, nil, []byte{0, 64}), nil, allowed, nil},
	{"a primary", "rsa", createPrimary(owner, template(tpm2.ECCSRKTemplate, same)), nil, allowed, nil},
	{"a primary under lockout", "rsa", createPrimary(uint32(tpm2.TPMRHLockout), template(tpm2.ECCSRKTemplate, same)), nil,
		Decision{RC: RCDenied, Rule: "TPM2_CreatePrimary", Why: "handle 1 is not owner or null"}, nil},
	{"a key of another kind", "rsa", create(template(tpm2.ECCSRKTemplate, same)), nil,
		Decision{RC: RCDenied, Rule: "TPM2_Create", Why: "inPublic is not a new rsa key that cannot leave"}, nil},
	{"an audit session", "rsa", sign(keyHandle, []auth{{0x02000001, 0x81}}, rsassa, ticket), nil, Decision{RC: RCDenied, Rule: "U4"}, nil},
	{"clear", "rsa", command(tpm2.TPMCCClear, []uint32{uint32(tpm2.TPMRHLockout)}, password), nil,
		Decision{RC: RCDenied, Rule: "TPM2_Clear", Why: "would destroy every other user's keys"}, nil},
	{"duplicate, by anybody", "migrate", command(tpm2.TPMCCDuplicate, []uint32{keyHandle, primaryHandle}, password, empty, nullScheme), nil, allowed, []Need{
		{"0x80000002 is an object of the caller's own", 0x910}, {"0x80000001 is an object of the caller's own", 0x911}, {"the caller is root", RCDenied}, {"handle 1, 0x80000002, is own rsa key", RCDenied}}},
	{"duplicate, by root", "migrate", command(tpm2.TPMCCDuplicate, []uint32{keyHandle, primaryHandle}, password, empty, nullScheme), uid(0), allowed, []Need{
		{"0x80000002 is an object of the caller's own", 0x910}, {"0x80000001 is an object of the caller's own", 0x911}, {"handle 1, 0x80000002, is own rsa key", RCDenied}}},
	{"duplicate, by another", "migrate", command(tpm2.TPMCCDuplicate, []uint32{keyHandle, primaryHandle}, password, empty, nullScheme), uid(1000),
		Decision{RC: RCDenied, Rule: "TPM2_Duplicate", Why: "caller is not root"}, nil},
	{"save an object", "rsa", command(tpm2.TPMCCContextSave, []uint32{keyHandle}, nil), nil, allowed, []Need{{"0x80000002 is an object of the caller's own", 0x910}}},
	{"a maker's command", "rsa", []byte{0x80, 1, 0, 0, 0, 10, 0x20, 0, 0, 1}, nil, Decision{RC: RCDenied, Rule: "U2", Why: "unknown commands are blocked"}, nil},
	{"a maker's command, all", "all", []byte{0x80, 1, 0, 0, 0, 10, 0x20, 0, 0, 1}, nil, allowed, []Need{{"the chip has this command", RCDenied},
		{"the objects and sessions that it names are the caller's own", 0x910}}},
	{"half a header", "all", []byte{0x80, 1}, nil, Decision{RC: tpm2.TPMRCCommandSize, Rule: "U1", Why: wire.ErrSize.Error()}, nil},
	{"a byte too much", "rsa", []byte{0x80, 1, 0, 0, 0, 13, 0, 0, 1, 0x7B, 0, 16, 0}, nil, Decision{RC: tpm2.TPMRCSize, Rule: "U1", Why: wire.ErrParams.Error()}, nil},
}

func TestExplainCommand(t *testing.T) {
	for _, row := range explainRows {
		f, err := Named(row.profile)
		if err != nil {
			t.Fatal(err)
		}
		e := f.ExplainCommand(row.command, row.caller)
		if e.Allowed != row.want.Allowed || e.RC != row.want.RC || e.Rule != row.want.Rule || row.want.Why != "" && e.Why != row.want.Why || !slices.Equal(e.Needs, row.needs) {
			t.Errorf("%s: %+v\nneeds %q\nwant %+v\nneeds %q", row.name, e.Decision, e.Needs, row.want, row.needs)
		}
	}
}

// By its code alone a command is allowed exactly when the filter lets it through under some condition.
func TestExplainCode(t *testing.T) {
	for _, f := range explainers(t) {
		for _, code := range corners(f) {
			e := f.Explain(code, nil)
			if e.Allowed != f.Allows(code) || e.Answered != (f.Allows(code) && f.Answers(code)) || len(e.Rules) == 0 || !e.Allowed && (e.RC != RCDenied || e.Why == "") {
				t.Errorf("%s, 0x%x: %+v", f.Name(), uint32(code), e)
			}
		}
	}
	migrate, err := Named("migrate")
	if err != nil {
		t.Fatal(err)
	}
	if root, other := migrate.Explain(tpm2.TPMCCDuplicate, uid(0)), migrate.Explain(tpm2.TPMCCDuplicate, uid(1000)); !root.Allowed || !root.Conditional || other.Allowed {
		t.Errorf("TPM2_Duplicate by root: %+v, by another: %+v", root, other)
	}
}

// Every universal check that decides has a text.
func TestUniversalTexts(t *testing.T) {
	for _, f := range explainers(t) {
		for _, row := range checkRows {
			c, err := wire.Parse(row.command)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range holders(1000) {
				if d := f.Check(&c, h); !d.Allowed && d.Rule != c.Shape.Name && universal[d.Rule] == "" {
					t.Errorf("rule %s has no text", d.Rule)
				}
			}
		}
	}
}

func TestFindCommand(t *testing.T) {
	plain := map[string]bool{}
	for _, shape := range wire.Shapes() {
		if plain[plainName(shape.Name)] {
			t.Errorf("%s is called like another command", shape.Name)
		}
		plain[plainName(shape.Name)] = true
	}
	for name, want := range map[string]tpm2.TPMCC{"TPM2_Clear": 0x126, "clear": 0x126, "tpm2_CLEAR": 0x126, "NVRead": 0x14E, "nv_read": 0x14E, "0x126": 0x126, "0x20000001": 0x20000001,
		"0X126": 0x126, "cleer": 0, "126": 0, "": 0, "TPM2_": 0, "0x1ffffffff": 0} {
		if code, ok := FindCommand(name); ok != (want != 0) || ok && code != want {
			t.Errorf("%q is 0x%x, %v, want 0x%x", name, uint32(code), ok, uint32(want))
		}
	}
}

// FuzzExplain: whatever is sent, the explanation holds.
func FuzzExplain(f *testing.F) {
	filters := explainers(f)
	for i, row := range checkRows {
		f.Add(row.command, uint8(i))
	}
	f.Fuzz(func(t *testing.T, command []byte, which uint8) {
		filter := filters[int(which)%len(filters)]
		filter.ExplainCommand(command, nil)
		checkExplanation(t, filter, command)
	})
}
