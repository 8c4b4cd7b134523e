package wire_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// The table of commands against what emulators say of theirs (TPM_CAP_COMMANDS: TPMA_CC, Part 2, 8.9), and how they treat sessions.

// Fields of a TPMA_CC.
const (
	ccNV      = 1 << 22
	ccFlushed = 1 << 24
	ccRHandle = 1 << 28
	ccVendor  = 1 << 29
)

// onNeither are the rows that no emulator has, so that nothing here holds them to a chip: those of which only the name is known, and these.
var onNeither = []tpm2.TPMCC{tpm2.TPMCCFieldUpgradeStart, tpm2.TPMCCFieldUpgradeData, tpm2.TPMCCFirmwareRead, tpm2.TPMCCACTSetTimeout}

func TestTableIsTheChips(t *testing.T) {
	listed := map[tpm2.TPMCC]bool{}
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		for _, cc := range commandAttributes(t, tpmtest.Dial(t, spec)) {
			code := tpm2.TPMCC(cc & wire.CommandIndex)
			listed[code] = true
			checkAttributes(t, wire.ShapeOf(code), cc)
		}
	})
	for _, shape := range wire.Shapes() {
		if alone := shape.NameOnly() || slices.Contains(onNeither, shape.Code); listed[shape.Code] == alone {
			t.Errorf("%s is on an emulator: %v", shape.Name, !alone)
		}
	}
}

func checkAttributes(t *testing.T, s *wire.Shape, cc uint32) {
	t.Helper()
	switch {
	case s == nil && cc&ccVendor != 0:
		return // a maker's command has no row, and so is blocked
	case s == nil || s.NameOnly():
		t.Errorf("0x%08x has no row", cc)
		return
	}
	for _, flag := range []struct {
		name string
		bit  uint32
		ours bool
	}{
		{"nv", ccNV, s.WritesNV()}, {"flushed", ccFlushed, s.Flushes()}, {"rHandle", ccRHandle, s.HandleOut()}, {"V", ccVendor, false},
	} {
		if theirs := cc&flag.bit != 0; theirs != flag.ours {
			t.Errorf("%s: %s is %v on the chip, %v in the table", s.Name, flag.name, theirs, flag.ours)
		}
	}
	if n := int(cc >> 25 & 7); n != s.Handles {
		t.Errorf("%s: %d handles on the chip, %d in the table", s.Name, n, s.Handles)
	}
}

// commandAttributes reads the whole list of a raw chip.
func commandAttributes(t *testing.T, tpm tpmtest.Sender) (all []uint32) {
	t.Helper()
	for next, more := uint32(0), true; more; next = all[len(all)-1]&wire.CommandIndex + 1 {
		r, err := tpm.Send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCGetCapability)).Uint32(uint32(tpm2.TPMCapCommands)).Uint32(next).Uint32(254).Bytes())
		if err != nil || len(r) < 19+4 {
			t.Fatalf("list the commands: %x, %v", r, err)
		}
		for list := r[19:]; len(list) >= 4; list = list[4:] {
			all = append(all, binary.BigEndian.Uint32(list))
		}
		more = r[10] != 0
	}
	slices.Sort(all)
	return all
}
