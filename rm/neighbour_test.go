package rm

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// crowdedChip is a gapChip on which somebody else has saved sessions, and which tells what it has.
type crowdedChip struct {
	gapChip
	foreign int // saves of others that were refused
}

func (c *crowdedChip) Send(command []byte) ([]byte, error) {
	if tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) != tpm2.TPMCCGetCapability {
		return c.gapChip.Send(command)
	}
	var handles []uint32
	if tpm2.TPMHT(command[14]) == savedSessions {
		for h := range c.saved {
			handles = append(handles, h)
		}
	}
	m := wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint8(0).Uint32(uint32(tpm2.TPMCapHandles)).Uint32(uint32(len(handles)))
	for _, h := range handles {
		m.Uint32(h)
	}
	return m.Bytes(), nil
}

const theirs = 0x02FF0000

// foreignSave is somebody else's busy session, which fails when any other was saved too long ago.
func (c *crowdedChip) foreignSave() {
	delete(c.saved, theirs+1)
	if response := c.save(theirs + 1); binary.BigEndian.Uint32(response[6:]) != 0 {
		c.foreign++
	}
}

// A foreign session that was saved before ours never comes near the gap, however many sessions we save; ours go on within what may stay loaded, and once it is
// gone we save again.
func TestForeignSavedSessionIsNotGapped(t *testing.T) {
	const gap = 65535
	chip := &crowdedChip{gapChip: gapChip{gap: gap, saved: map[uint32]uint64{}}}
	chip.save(theirs)
	m := New(Config{Sharing: Shared, Open: func() (Chip, error) { return chip, nil }})
	defer m.Close()
	s := mustOpen(t, m, 0)
	a, b := start(t, s), start(t, s)
	for range 100_000 {
		for _, handle := range []uint32{a, b} {
			if !s.cycle(t, handle) {
				t.Fatal("a session is lost")
			}
		}
	}
	if seen := chip.count - chip.saved[theirs]; seen > lookEvery+neighbourMargin+1 {
		t.Errorf("the foreign session has seen %d of our saves", seen)
	}
	if chip.foreignSave(); chip.foreign > 0 {
		t.Error("others cannot save any more")
	}
	response, err := s.Send(startSession)
	if err != nil {
		t.Fatal(err)
	}
	if rc := tpm2.TPMRC(binary.BigEndian.Uint32(response[6:])); rc != rcSessionQuota {
		t.Errorf("a third session: 0x%x, want 0x%x", uint32(rc), uint32(rcSessionQuota))
	}
	if n := len(m.loadedSessions()); n != sharedSessions {
		t.Errorf("%d sessions are loaded", n)
	}
	delete(chip.saved, theirs)
	before := chip.saves
	c := start(t, s)
	if !s.cycle(t, a) || !s.cycle(t, c) || chip.saves == before {
		t.Error("after the foreign session has gone, none is saved")
	}
}

// Sessions that come and go are counted each from its own time.
func TestNeighboursThatChange(t *testing.T) {
	chip := &crowdedChip{gapChip: gapChip{gap: 1 << 40, saved: map[uint32]uint64{}}}
	m := New(Config{Sharing: Shared, Open: func() (Chip, error) { return chip, nil }})
	defer m.Close()
	s := mustOpen(t, m, 0)
	a := start(t, s)
	for i := range 200_000 {
		if i%20_000 == 0 { // a new one twice before the margin
			delete(chip.saved, theirs+uint32(i/20_000)-1)
			chip.saved[theirs+uint32(i/20_000)] = chip.count
		}
		if !s.cycle(t, a) {
			t.Fatal("the session is lost")
		}
	}
	if chip.saves != 200_000 {
		t.Errorf("%d saves, want one for each of 200,000 uses: no foreign session was there for long", chip.saves)
	}
}
