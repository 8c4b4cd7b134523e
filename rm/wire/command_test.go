package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Commands as other tools send them, and what is wrong with their variants.
var parseRows = []struct {
	name, command string
	want          error
}{
	{"GetRandom", "8001 0000000c 0000017b 0010", nil},
	{"GetRandom with an encrypt session", "8002 0000001d 0000017b 0000000d 02000000 0002 aabb 41 0002 ccdd 0010", nil},
	{"FlushContext", "8001 0000000e 00000165 80000000", nil},
	{"ReadPublic", "8001 0000000e 00000173 81000001", nil},
	{"Sign with half a ticket", "8002 0000003f 0000015d 80000000 00000009 40000009 0000 00 0000 0014 " + strings.Repeat("ab", 20) + " 0014 0004 8024 40000007 00", ErrParams},
	{"Sign, RSASSA", "8002 00000041 0000015d 80000000 00000009 40000009 0000 00 0000 0014" + strings.Repeat("ab", 20) + "0014 0004 8024 40000007 0000", nil},
	{"only the name is known, not whether a handle comes before the sessions", "8002 0000001c 000001a0 40000001 00000009 40000009 0000 00 0000 01", nil},
	{"denied commands are only taken apart as far as known", "8002 0000001b 00000126 4000000c 00000009 40000009 0000 00 0000", nil},

	{"empty", "", ErrSize},
	{"nine bytes", "8001 00000009 000001", ErrSize},
	{"size too small", "8001 0000000b 0000017b 0010", ErrSize},
	{"size too large", "8001 0000000d 0000017b 0010", ErrSize},
	{"tag of TPM 1.2", "00c1 0000000c 0000017b 0010", ErrTag},
	{"unknown code", "8001 0000000a 000001fe", ErrUnknown},
	{"code below the first", "8001 0000000a 0000011e", ErrUnknown},
	{"vendor bit", "8001 0000000c 2000017b 0010", ErrUnknown},
	{"reserved bit", "8001 0000000c 0001017b 0010", ErrUnknown},
	{"handle cut short", "8001 0000000c 00000173 8100", ErrHandleArea},
	{"trailing byte", "8001 0000000d 0000017b 0010 00", ErrParams},
	{"parameter cut short", "8001 0000000b 0000017b 00", ErrParams},
	{"sessions where none may be", "8002 0000001b 00000165 00000009 40000009 0000 00 0000 80000000", ErrNoSessions},
	{"authorization size of 0", "8002 00000010 0000017b 00000000 0010", ErrAuthArea},
	{"authorization size beyond the end", "8002 0000001b 0000017b 00000fff 40000009 0000 00 0000 0010 0000", ErrAuthArea},
	{"authorization cut in an entry", "8002 0000001a 0000017b 00000008 40000009 0000 00 0010 0000", ErrAuthArea},
	{"four authorizations", "8002 00000036 0000017b 00000024" + strings.Repeat("40000009 0000 00 0000", 4) + "00100000", ErrAuthArea},
	{"nonce of 65 bytes", "8002 0000005c 0000017b 0000004a 40000009 0041" + strings.Repeat("00", 65) + "00 0000 0010", ErrAuthArea},
	{"label of 67 bytes", "8001 00000000 00000174 80000000 0001 61 0015 0043" + strings.Repeat("61", 67), ErrParams},
	{"point whose coordinates are not in its size", "8002 00000000 00000154 80000000 00000009 40000009 0000 00 0000 0006 0001 aa 0002 bb", ErrParams},
	{"sensitive area that ends early", "8001 00000000 00000167 0004 0001 0000 0000 40000007", ErrParams},
	{"encrypted digest of 65 bytes", "8002 00000000 0000015d 80000000 00000009 02000000 0000 21 0000 0041" + strings.Repeat("ab", 65) + "0014 0004 8024 40000007 0000", ErrParams},

	// CVE-2023-1017 and CVE-2023-1018: with a decrypt session, less than the two bytes of the first parameter's size.
	{"encrypted parameter without a size", "8002 0000002c 00000157 80000000 00000009 02000000 0000 21 0000" + strings.Repeat("0", 34), ErrParams},
	{"encrypted parameter that ends after one byte", "8002 0000001c 00000157 80000000 00000009 02000000 0000 21 0000 00", ErrParams},
	{"encrypted parameter that is not there", "8002 0000001b 00000157 80000000 00000009 02000000 0000 21 0000", ErrParams},
}

// rowBytes gives a row's command, with the true size filled in unless the size is what is wrong with it.
func rowBytes(t testing.TB, text string, want error) []byte {
	command := unhex(t, text)
	if want == ErrSize {
		return command
	}
	return (&Message{bytes: command}).Bytes()
}

func TestParse(t *testing.T) {
	for _, row := range parseRows {
		command := rowBytes(t, row.command, row.want)
		if _, err := Parse(command); !errors.Is(err, row.want) || (err != nil) != (row.want != nil) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

func TestParseGivesTheParts(t *testing.T) {
	command := unhex(t, "8002 00000000 0000015d 80000007 00000014 02000001 0001 aa 21 0001 bb 40000009 0000 00 0000 0002 abcd 0014 000b 8024 40000007 0000")
	c, err := Parse((&Message{bytes: command}).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if c.Handle(0) != 0x80000007 || len(c.Auths()) != 2 || c.Auths()[0].Session != 0x02000001 || !c.Decrypts() {
		t.Errorf("handles and sessions: %+v", c)
	}
	if !bytes.Equal(c.Param("inScheme"), []byte{0, 0x14, 0, 0x0b}) || len(c.Param("validation")) != 8 || c.Param("label") != nil {
		t.Errorf("parameters: %x", c.params)
	}
	if SetHandle(c.Bytes, 0, 0x80ffffff); c.Handle(0) != 0x80ffffff {
		t.Error("SetHandle did not set the handle")
	}
}

func TestTooLarge(t *testing.T) {
	if _, err := Parse(NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetRandom)).Raw(make([]byte, MaxCommand-HeaderSize+1)).Bytes()); err != ErrSize {
		t.Errorf("a command of %d bytes: %v", MaxCommand+1, err)
	}
}

func TestShapesAreInOrder(t *testing.T) {
	var last tpm2.TPMCC
	for _, s := range Shapes() {
		if s.Code <= last || s.Handles < s.Auths || s.Handles > maxHandles || len(s.params) > maxParams {
			t.Errorf("%s: a row out of order or out of bounds: %+v", s.Name, s)
		}
		if last = s.Code; ShapeOf(s.Code).Name != s.Name {
			t.Errorf("%s is not found by its code", s.Name)
		}
	}
}

func TestPublicReadsBackWhatGoTPMWrites(t *testing.T) {
	for name, template := range map[string]tpm2.TPMTPublic{
		"RSA storage": tpm2.RSASRKTemplate, "ECC storage": tpm2.ECCSRKTemplate, "RSA EK": tpm2.RSAEKTemplate, "ECC EK": tpm2.ECCEKTemplate,
	} {
		p, ok := ParsePublic(tpm2.Marshal(template))
		if !ok || p.Type != template.Type || p.NameAlg != template.NameAlg || !p.Has(Restricted|Decrypt|FixedTPM) || p.HasAny(Sign) {
			t.Errorf("%s: %+v %v", name, p, ok)
		}
		if _, ok := ParsePublic(append(tpm2.Marshal(template), 0)); ok {
			t.Errorf("%s: a trailing byte was accepted", name)
		}
	}
}

func TestCheckResponse(t *testing.T) {
	for _, row := range []struct {
		name, response string
		sent           tpm2.TPMST
		ok             bool
	}{
		{"success", "8001 0000000a 00000000", tpm2.TPMSTNoSessions, true},
		{"error", "8001 0000000a 0000098e", tpm2.TPMSTSessions, true},
		{"empty", "", tpm2.TPMSTNoSessions, false},
		{"short", "8001 0000000a 0000", tpm2.TPMSTNoSessions, false},
		{"longer than it says", "8001 0000000a 00000000 00", tpm2.TPMSTNoSessions, false},
		{"error with a body", "8001 0000000b 0000098e 00", tpm2.TPMSTNoSessions, false},
		{"other tag", "8001 0000000a 00000000", tpm2.TPMSTSessions, false},
		{"zeros", "0000 00000000 00000000", tpm2.TPMSTNoSessions, false},
	} {
		if _, err := CheckResponse(unhex(t, row.response), row.sent); (err == nil) != row.ok {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// FuzzParse: no panic, and a command that parses is covered by its parts to the last byte.
func FuzzParse(f *testing.F) {
	for _, row := range parseRows {
		f.Add(rowBytes(f, row.command, row.want))
	}
	f.Fuzz(func(t *testing.T, command []byte) {
		c, err := Parse(command)
		if err != nil || !c.Shape.ParamsKnown() {
			return
		}
		whole := append([]byte(nil), command[:HeaderSize+4*c.Shape.Handles]...)
		if c.Tag == tpm2.TPMSTSessions {
			whole = append(whole, authArea(&c)...)
		}
		for _, p := range c.params {
			whole = append(whole, p...)
		}
		if !bytes.Equal(whole, command) {
			t.Errorf("parts %x of command %x", whole, command)
		}
	})
}

func authArea(c *Command) []byte {
	m := NewMessage(0, 0)
	for _, a := range c.Auths() {
		m.Uint32(a.Session).Uint16(uint16(len(a.Nonce))).Raw(a.Nonce).Uint8(a.Attributes).Uint16(uint16(len(a.HMAC))).Raw(a.HMAC)
	}
	area := m.Bytes()[HeaderSize:]
	return append([]byte{0, 0, byte(len(area) >> 8), byte(len(area))}, area...)
}

// FuzzParsePublic: no panic; what parses is what go-tpm reads too, where go-tpm knows the type.
func FuzzParsePublic(f *testing.F) {
	for _, template := range []tpm2.TPMTPublic{tpm2.RSASRKTemplate, tpm2.ECCSRKTemplate, tpm2.RSAEKTemplate} {
		f.Add(tpm2.Marshal(template))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := ParsePublic(b)
		if !ok || p.Type != tpm2.TPMAlgRSA {
			return
		}
		theirs, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
		if err != nil {
			return // go-tpm refuses reserved attribute bits and algorithms that it has no name for
		}
		rsa, err := theirs.Parameters.RSADetail()
		if err != nil || uint16(rsa.KeyBits) != p.KeyBits || rsa.Exponent != p.Exponent {
			t.Errorf("go-tpm reads %+v, we read %+v: %v", rsa, p, err)
		}
	})
}
