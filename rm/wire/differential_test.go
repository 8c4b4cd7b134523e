package wire_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// Our parser against a chip's: mutants of good commands, of which both must say the same. A parser that takes what the chip calls malformed lets it reach
// firmware; one that refuses what the chip runs is a bug for honest clients.

// badForm are the codes with which a chip says that a size, or the form of a command, is wrong. Those of format one come with the number of a parameter,
// a handle or a session, or without.
var badForm = map[tpm2.TPMRC]bool{
	tpm2.TPMRCSize: true, tpm2.TPMRCInsufficient: true,
	tpm2.TPMRCCommandSize: true, tpm2.TPMRCAuthSize: true, tpm2.TPMRCAuthContext: true, tpm2.TPMRCCommandCode: true, rcBadTag: true,
}

// rcBadTag is TPM_RC_BAD_TAG (Part 2, 6.6.3), for which go-tpm has no name.
const rcBadTag tpm2.TPMRC = 0x1E

// Bits of a format-one response code (Part 2, 6.6.2). The number of a handle or session is among those of the parameters.
const (
	formatOne    tpm2.TPMRC = 0x080
	formatNumber tpm2.TPMRC = 0xF40
)

func refusesForm(rc tpm2.TPMRC) bool {
	if rc&formatOne != 0 {
		rc &^= formatNumber
	}
	return badForm[rc]
}

// takesForm tells whether a chip has read a command to its end. What it says of a numbered parameter, handle or session may have come before that: then it
// does not know a value, and what follows has no form.
func takesForm(rc tpm2.TPMRC) bool {
	return !refusesForm(rc) && (rc&formatOne == 0 || rc&formatNumber == 0)
}

// A difference is one that must be: the chip answers rc, and our parser the opposite of what that says of the form.
type difference struct {
	code tpm2.TPMCC // 0: any
	rc   tpm2.TPMRC
	why  string
}

func parameter(rc tpm2.TPMRC, n int) tpm2.TPMRC { return rc | 0x40 | tpm2.TPMRC(n)<<8 }

const (
	otherMost   = "the most that fits is another on chips with RSA 4096"
	content     = "what is inside cannot be read here, it may be encrypted"
	fits        = "the size is well-formed, but not what the key or the hash asks for"
	unusualTag  = "swtpm says TPM_RC_VALUE of every tag but that of TPM 1.2"
	managersOwn = "the contexts that clients load are the manager's"
)

var differences = []difference{
	{0, tpm2.TPMRCValue, unusualTag},
	{tpm2.TPMCCSign, parameter(tpm2.TPMRCSize, 1), fits},
	{tpm2.TPMCCRSADecrypt, tpm2.TPMRCSize, fits},
	{tpm2.TPMCCRSADecrypt, parameter(tpm2.TPMRCSize, 1), otherMost},
	{tpm2.TPMCCRSAEncrypt, parameter(tpm2.TPMRCSize, 1), otherMost},
	{tpm2.TPMCCObjectChangeAuth, parameter(tpm2.TPMRCSize, 1), fits},
	{tpm2.TPMCCStartAuthSession, parameter(tpm2.TPMRCSize, 1), fits},
	{tpm2.TPMCCStartAuthSession, parameter(tpm2.TPMRCSize, 2), otherMost},
	{tpm2.TPMCCLoad, parameter(tpm2.TPMRCSize, 1), content},
	{tpm2.TPMCCLoad, parameter(tpm2.TPMRCInsufficient, 1), content},
	{tpm2.TPMCCContextLoad, tpm2.TPMRCSize, managersOwn},
	{tpm2.TPMCCContextLoad, parameter(tpm2.TPMRCSize, 1), managersOwn},

	{tpm2.TPMCCCreateLoaded, parameter(tpm2.TPMRCSize, 2), "a template may hold other things than a public area"},
	{tpm2.TPMCCCreateLoaded, parameter(tpm2.TPMRCInsufficient, 2), "likewise"},
	{tpm2.TPMCCDuplicate, parameter(tpm2.TPMRCSize, 1), fits},
	{tpm2.TPMCCRewrap, parameter(tpm2.TPMRCSize, 1), otherMost},
	{tpm2.TPMCCRewrap, parameter(tpm2.TPMRCSize, 3), otherMost},
	{tpm2.TPMCCImport, parameter(tpm2.TPMRCSize, 1), fits},
	{tpm2.TPMCCImport, parameter(tpm2.TPMRCSize, 2), fits},
	{tpm2.TPMCCImport, parameter(tpm2.TPMRCSize, 3), content},
	{tpm2.TPMCCImport, parameter(tpm2.TPMRCInsufficient, 3), content},
	{tpm2.TPMCCImport, parameter(tpm2.TPMRCSize, 4), otherMost},
	{tpm2.TPMCCImport, parameter(tpm2.TPMRCInsufficient, 4), content},
}

func TestParserIsTheChips(t *testing.T) {
	w, compared, seen := newWorkshop(t), 0, map[difference]bool{}
	for _, g := range append(w.defaults(), w.others()...) {
		w.ready(g)
		if rc := w.try(t, g, g.command); rc != g.rc {
			t.Errorf("%s is no good command: 0x%x", g.name, uint32(rc))
		}
		if _, err := wire.Parse(g.command); err != nil {
			t.Errorf("%s: %v", g.name, err)
			continue
		}
		mutants(g.command, func(mutant []byte) {
			compared++
			compare(t, g, mutant, w.try(t, g, mutant), seen)
		})
	}
	for _, d := range differences {
		if !seen[d] {
			t.Errorf("a difference that there is not: %s, 0x%x: %s", wire.ShapeOf(d.code).Name, uint32(d.rc), d.why)
		}
	}
	t.Logf("%d mutants", compared)
}

// compare reports a mutant about which our parser and the chip differ, unless they must.
func compare(t *testing.T, g good, mutant []byte, rc tpm2.TPMRC, seen map[difference]bool) {
	t.Helper()
	_, err := wire.Parse(mutant)
	if !(refusesForm(rc) && err == nil) && !(takesForm(rc) && err != nil) {
		return
	}
	for _, d := range differences {
		if d.rc == rc && (d.code == tpm2.TPMCC(binary.BigEndian.Uint32(mutant[6:])) || d.code == 0 && err == wire.ErrTag) {
			seen[d] = true
			return
		}
	}
	t.Errorf("%s: the chip says 0x%x, our parser %v: %x", g.name, uint32(rc), err, mutant)
}

// try sends a command and, after a success, gets ready for the next.
func (w *workshop) try(t *testing.T, g good, command []byte) tpm2.TPMRC {
	t.Helper()
	rc := exchange(t, w.tpm, command)
	if rc == 0 {
		w.ready(g)
	}
	return rc
}

func (w *workshop) ready(g good) {
	w.restock()
	if g.after != nil {
		g.after(w)
	}
}
