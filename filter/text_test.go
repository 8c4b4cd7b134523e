package filter

import (
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// How many commands of the table each built-in profile lets through, to the chip and to the manager. FILTER.md's counts for use and rsa.
func TestBuiltinProfiles(t *testing.T) {
	counts := map[string][2]int{
		"use": {10, 6}, "rsa": {13, 6}, "rsa+ecc": {14, 6}, "rsa+import": {14, 6}, "migrate": {22, 6}, "attest": {15, 6}, "orchestrate": {16, 6},
		"tss": {18, 6}, "all": {len(wire.Shapes()) - 2, 2},
	}
	if len(counts) != len(Names()) {
		t.Errorf("%d profiles, want %d", len(Names()), len(counts))
	}
	for _, name := range Names() {
		f, err := Named(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		chip, answered := f.Count()
		got := [2]int{chip, answered}
		if got != counts[name] || f.Name() != name {
			t.Errorf("%s, named %s: %v commands reach the chip and are answered, want %v", name, f.Name(), got, counts[name])
		}
		if text, err := builtin.ReadFile("profiles/" + name + ".profile"); err != nil || f.String() != string(text) {
			t.Errorf("%s is printed as\n%s", name, f)
		}
	}
	if _, err := Named("none"); err == nil || !strings.Contains(err.Error(), "use, rsa") {
		t.Errorf("a profile that does not exist: %v", err)
	}
}

const head = "profile mine from rsa: a test\n"

// What is no profile, with the line and the words of the error.
var badProfiles = []struct{ name, text, want string }{
	{"nothing", "", "line 1: a profile begins with"},
	{"an empty line", "\n", `line 1: a profile begins with "profile NAME`},
	{"no reason", "profile mine from rsa\n", "line 1: a profile begins with"},
	{"a name with a space", "profile my own: x\n", `line 1: "my own" is no name`},
	{"an unknown base", "profile mine from yours: x\n", `line 1: "yours" is none of the profiles: use,`},
	{"no last newline", head + "deny TPM2_Sign: no", "line 2: the last line does not end"},
	{"an unknown verdict", head + "permit TPM2_Sign: x\n", `line 2: "permit" is no verdict`},
	{"an unknown command", head + "allow TPM2_Sing: x\n", `line 2: "TPM2_Sing" is no TPM command`},
	{"a row without a reason", head + "allow TPM2_Sign\n", "line 2: \"allow TPM2_Sign\" is no row"},
	{"a code that has a name", head + "allow 0x15D: x\n", `line 2: "allow 0x15D: x" is not how this is written; write "allow TPM2_Sign: x"`},
	{"a code in small letters", head + "allow 0x2000abcd: x\n", "line 2: "},
	{"a row twice", head + "deny TPM2_Sign: x\ndeny TPM2_Sign: y\n", "line 3: TPM2_Sign stands here a second time"},
	{"ranges that overlap", head + "deny 0x200 to 0x300: x\ndeny 0x2FF to 0x400: y\n", "line 3: 0x2FF to 0x400 stands here a second time"},
	{"a range backwards", head + "deny 0x300 to 0x200: x\n", "line 2: \"0x300 to 0x200\" is no range"},
	{"an answer that nobody can give", head + "answer TPM2_Sign: x\n", "line 2: TPM2_Sign cannot be answered"},
	{"an unknown setting", head + "    sessions may dance\n", `line 2: "sessions may dance" is no setting`},
	{"an inherited setting again", "profile mine from all: x\n    sessions may audit\n", "line 2: "},
	{"no condition", head + "allow TPM2_Sign: x\n    whenever\n", `line 3: "whenever" is no condition`},
	{"a condition of a denial", head + "deny TPM2_Sign: x\n    handle 1 is owner\n", "line 3: a denial has no conditions"},
	{"a handle that is not there", head + "allow TPM2_Sign: x\n    handle 2 is owner\n", "line 3: TPM2_Sign has no handle 2"},
	{"a handle in a range", head + "allow 0x200 to 0x300: x\n    handle 1 is owner\n", "line 3: 0x200 to 0x300 has no handle 1"},
	{"an unknown word", head + "allow TPM2_Sign: x\n    handle 1 is mine\n", `line 3: handle 1 cannot be "mine"; it can be endorsement,`},
	{"a transient handle by number", head + "allow TPM2_Sign: x\n    handle 1 is 0x80000001\n", "line 3: handle 1 cannot be"},
	{"the storage root key by number", head + "allow TPM2_Sign: x\n    handle 1 is 0x81000001\n", "line 3: handle 1 cannot be"},
	{"a parameter that is not there", head + "allow TPM2_Sign: x\n    inPublic is a sealed secret\n", `line 3: TPM2_Sign has nothing that is called "inPublic"`},
	{"a parameter of an unknown shape", head + "allow TPM2_NV_Write: x\n    data is empty\n", `line 3: TPM2_NV_Write has nothing`},
	{"a condition twice", head + "allow TPM2_Sign: x\n    handle 1 is srk\n    handle 1 is srk\n", "line 4: handle 1 stands here a second time"},
	{"a list with two ors", head + "allow TPM2_Sign: x\n    inScheme is rsassa or rsapss or null\n", `line 3: inScheme cannot be "rsapss or null"`},
	{"a list without or", head + "allow TPM2_Sign: x\n    inScheme is rsassa, null\n", "line 3: "},
	{"a number with a zero before it", head + "allow TPM2_Create: x\n    outsideInfo is at most 064 bytes\n", "line 3: outsideInfo cannot be"},
	{"an unknown caller", head + "allow TPM2_Sign: x\n    caller is uid 0\n", `line 3: caller cannot be "uid 0"; it can be root or uid N`},
	{"a caller beyond all", head + "allow TPM2_Sign: x\n    caller is uid 4294967296\n", `line 3: caller cannot be "uid 4294967296"`},
	{"no caller at all", head + "allow TPM2_Sign: x\n    caller is uid 4294967295\n", `line 3: caller cannot be "uid 4294967295"`},
	{"a negative number", head + "allow TPM2_Create: x\n    outsideInfo is at most -1 bytes\n", "line 3: outsideInfo cannot be"},
	{"sizes backwards", head + "allow TPM2_Create: x\n    outsideInfo is 9 to 8 bytes\n", "line 3: outsideInfo cannot be"},
	{"bytes of a number", head + "allow TPM2_GetRandom: x\n    bytesRequested is at most 64 bytes\n", "line 3: bytesRequested cannot be \"at most 64 bytes\"; it can be at most N"},
	{"a number of bytes", head + "allow TPM2_Create: x\n    outsideInfo is at most 64\n", "line 3: outsideInfo cannot be \"at most 64\"; it can be empty, at most N bytes or N to M bytes"},
	{"bytes of a list", head + "allow TPM2_Create: x\n    creationPCR is at most 8 bytes\n", "line 3: creationPCR cannot be \"at most 8 bytes\"; it can be empty"},
	{"what has no words", head + "allow TPM2_Import: x\n    symmetricAlg is null\n", "line 3: nothing can be said of symmetricAlg"},
	{"a range of answers", head + "answer TPM2_Hash to TPM2_PCR_Read: x\n", "line 2: TPM2_Hash to TPM2_PCR_Read cannot be answered"},
	{"a tab", head + "allow TPM2_Sign: x\n\thandle 1 is srk\n", `line 3: '\t' cannot be printed`},
	{"lines of another system", "profile mine from rsa: x\r\n", `line 1: '\r' cannot be printed`},
	{"a byte order mark", "\ufeff" + head, `line 1: '\ufeff' cannot be printed`},
	{"a name that rings", "profile mi\ane: x\n", `line 1: '\a' cannot be printed`},
	{"bytes that are no text", "profile mine: \xff\n", "line 1: it is not UTF-8"},
	{"bytes in the last line", head + "\xff", "line 2: it is not UTF-8"},
	{"a long line", head + "allow " + strings.Repeat("x", 2000) + ": x\n", "line 2: it has 2009 bytes"},
	{"spaces at the end", head + "allow TPM2_Sign: x \n", "line 2: "},
	{"another indent", head + "allow TPM2_Sign: x\n  handle 1 is srk\n", "line 3: "},
	{"an empty line inside", head + "\nallow TPM2_Sign: x\n", "line 2: "},
	{"a second profile that is bad", head + "\nprofile two from rsa: x\nfoo\n", "line 4: "},
}

func TestBadProfiles(t *testing.T) {
	for _, row := range badProfiles {
		if f, err := Parse(row.text); err == nil {
			t.Errorf("%s: taken as\n%s", row.name, f)
		} else if !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}

// What is counted as a TPM2B, a list or a number is one, in every command that the tests know.
func TestCountedParameters(t *testing.T) {
	seen := 0
	for _, row := range checkRows {
		c, err := wire.Parse(row.command)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.Shape.ParamNames() {
			switch b := c.Param(name); {
			case sizedParams[name] && (len(b) < 2 || len(b)-2 != int(b[0])<<8|int(b[1])), listParams[name] && len(b) < 4, numberParams[name] && len(b) != 2 && len(b) != 4:
				t.Errorf("%s: %s is %x", c.Shape.Name, name, b)
			case sizedParams[name] || listParams[name] || numberParams[name]:
				seen++
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d parameters were looked at", seen)
	}
}

const administrators = `profile ssh from migrate: only the ssh user may move keys
allow TPM2_Duplicate: export a key to another parent
    caller is root or uid 1000
    handle 1 is own rsa key
    handle 2 is own object or null
allow TPM2_Sign: sign, also with the machine's key
    handle 1 is own rsa key that signs or 0x81000042
    inScheme is rsassa, rsapss or null
    validation is a hashcheck ticket
allow 0x20000001 to 0x20000010: the maker's own

profile narrow from use: and no more
`

func TestAdministratorsProfile(t *testing.T) {
	f, err := Parse(administrators)
	if err != nil || f.String() != administrators || f.Name() != "ssh narrowed by narrow" {
		t.Fatalf("%v\n%s", err, f)
	}
	if f.Allows(tpm2.TPMCCDuplicate) || !f.Allows(tpm2.TPMCCSign) || f.Allows(0x20000001) {
		t.Error("several profiles do not agree about what all of them allow")
	}
	wide := &Filter{f.profiles[:1]}
	if !wide.Allows(tpm2.TPMCCDuplicate) || !wide.Allows(0x20000010) || wide.Allows(0x20000011) || !wide.Lists(0x81000042) {
		t.Error("a row of the profile has no effect")
	}
	if f.Lists(0x81000042) || !f.Lists(wire.SRK) {
		t.Error("handles are listed that one of the profiles does not name")
	}
}

// With migrate, only the callers that it names may move keys; under rsa nobody can.
func TestCallers(t *testing.T) {
	const text = "profile mine from migrate: x\nallow TPM2_Duplicate: x\n    caller is uid %s\n    handle 1 is own rsa key\n    handle 2 is own object or null\n"
	c, err := wire.Parse(command(tpm2.TPMCCDuplicate, []uint32{keyHandle, nullHandle}, password, empty, nullScheme))
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[string]bool{"1000": true, "1001": false} {
		f, err := Parse(strings.Replace(text, "%s", uid, 1))
		if err != nil || f.Check(&c, caller).Allowed != want {
			t.Errorf("uid %s: want %v, %v", uid, want, err)
		}
	}
	for _, name := range []string{"migrate", "rsa"} {
		f, err := Named(name)
		if d := f.Check(&c, caller); err != nil || d.Allowed || d.RC != RCDenied {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// A narrowed filter lets through what both do.
func TestNarrow(t *testing.T) {
	all, err := Named("all")
	if err != nil {
		t.Fatal(err)
	}
	both := all.Narrow(Default())
	for _, row := range checkRows {
		c, err := wire.Parse(row.command)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := Default().Check(&c, caller).Allowed, both.Check(&c, caller).Allowed; a != b {
			t.Errorf("%s: %v under rsa, %v under all narrowed by rsa", row.name, a, b)
		}
	}
	if !both.HasBudget() || all.HasBudget() || !both.Answers(tpm2.TPMCCHash) || both.Shows(tpm2.TPMHTPCR) || !all.Shows(tpm2.TPMHTPCR) {
		t.Error("narrowing has lost something")
	}
}

// FuzzParseProfile: what is read is printed back identically, and nothing crashes.
func FuzzParseProfile(f *testing.F) {
	for _, name := range Names() {
		p, err := Named(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.String())
	}
	f.Add(administrators)
	for _, row := range badProfiles {
		f.Add(row.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := Parse(text); err == nil && p.String() != text {
			t.Errorf("%q is printed as %q", text, p)
		}
	})
}
