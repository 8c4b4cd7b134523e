package rm

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// gapChip is a chip that only knows sessions, and when the gap between saved ones is too wide (Part 1, 30.5).
type gapChip struct {
	gap   uint64
	next  uint32
	count uint64
	saved map[uint32]uint64
	saves int
}

func (g *gapChip) Close() error { return nil }

func (g *gapChip) Send(command []byte) ([]byte, error) {
	switch tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])) {
	case tpm2.TPMCCStartAuthSession:
		g.next++
		return wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(0x02000000 + g.next).Uint16(0).Bytes(), nil
	case tpm2.TPMCCContextSave:
		return g.save(binary.BigEndian.Uint32(command[10:])), nil
	case tpm2.TPMCCContextLoad:
		handle := binary.BigEndian.Uint32(command[18:])
		if g.saved[handle] != binary.BigEndian.Uint64(command[10:]) {
			return wire.ErrorResponse(rcContextIntegrity), nil
		}
		delete(g.saved, handle)
		return wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(handle).Bytes(), nil
	}
	return wire.ErrorResponse(0), nil
}

func (g *gapChip) save(handle uint32) []byte {
	for other, at := range g.saved {
		if other != handle && g.count-at >= g.gap {
			return wire.ErrorResponse(tpm2.TPMRCContextGap)
		}
	}
	g.count++
	g.saves++
	g.saved[handle] = g.count
	return wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint32(uint32(g.count >> 32)).Uint32(uint32(g.count)).Uint32(handle).Uint32(0x40000007).Uint16(0).Bytes()
}

var startSession = wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCStartAuthSession)).Uint32(0x40000007).Uint32(0x40000007).
	Uint16(16).Raw(make([]byte, 16)).Uint16(0).Uint8(0).Uint16(0x0010).Uint16(0x000b).Bytes()

func start(t testing.TB, s *Space) uint32 {
	t.Helper()
	response, err := s.Send(startSession)
	if err != nil || len(response) < 14 {
		t.Fatalf("start a session: %x, %v", response, err)
	}
	return binary.BigEndian.Uint32(response[10:])
}

// cycle saves and loads a client's session, with the turn.
func (s *Space) cycle(t testing.TB, handle uint32) bool {
	t.Helper()
	m := s.manager
	m.turns.take(0, nil, nil)
	defer m.turns.give()
	m.begin()
	authSession := s.sessions[handle]
	if authSession.loaded {
		if _, err := m.saveSession(authSession); err != nil {
			t.Fatal(err)
		}
	}
	rc, err := m.bringSession(authSession, holding{})
	if err != nil {
		t.Fatal(err)
	}
	return rc == 0
}

// An idle session outlives any number of saves by others: it is saved anew in time, or at the latest when the chip complains.
func TestContextGap(t *testing.T) {
	for _, gap := range []uint64{65535, 100} {
		chip := &gapChip{gap: gap, saved: map[uint32]uint64{}}
		idleSurvives(t, Config{Sharing: Alone, Open: func() (Chip, error) { return chip, nil }}, 200_000)
		if extra := chip.saves - 200_000; uint64(extra) > 200_000/min(gap, gapMargin)+10 {
			t.Errorf("a gap of %d costs %d saves more", gap, extra)
		}
	}
}

func idleSurvives(t *testing.T, config Config, saves int) {
	t.Helper()
	m := New(config)
	defer m.Close()
	quiet, busy := mustOpen(t, m, 1), mustOpen(t, m, 2)
	idle, other := start(t, quiet), start(t, busy)
	m.turns.take(0, nil, nil)
	if _, err := m.saveSession(quiet.sessions[idle]); err != nil {
		t.Fatal(err)
	}
	m.turns.give()
	for i := range saves {
		if !busy.cycle(t, other) {
			t.Fatalf("the busy session is lost after %d saves", i)
		}
	}
	if !quiet.cycle(t, idle) {
		t.Errorf("the idle session is lost after %d saves", saves)
	}
}

func mustOpen(t testing.TB, m *Manager, uid uint32) *Space {
	t.Helper()
	s, err := m.Open(Options{UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Four sessions a connection, eight a principal, and enough for root, whatever the others do.
func TestSessionQuotas(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	m := New(Config{Sharing: Alone, Open: func() (Chip, error) { return raw, nil }})
	defer m.Close()
	try := func(s *Space) bool {
		response, err := s.Send(startSession)
		if err != nil {
			t.Fatal(err)
		}
		if rc := binary.BigEndian.Uint32(response[6:]); rc != 0 && rc != uint32(rcSessionQuota) {
			t.Fatalf("start a session: %#x", rc)
		}
		return len(response) > 10
	}
	fill := func(uid uint32) (started int) {
		for range 3 {
			s := mustOpen(t, m, uid)
			for range 5 {
				if try(s) {
					started++
				}
			}
		}
		return started
	}
	for uid := range uint32(6) {
		if n := fill(uid + 1); n != 8 {
			t.Errorf("user %d has %d sessions, want 8", uid+1, n)
		}
	}
	if n := m.sessionsOf(1); n != 8 || len(m.sessions) != 48 {
		t.Errorf("%d sessions in all, %d of user 1", len(m.sessions), n)
	}
	if !try(mustOpen(t, m, 100)) || len(m.sessions) != 48 || m.sessionsOf(1) != 7 {
		t.Errorf("a new user gets none, or nobody gave one up: %d of %d", m.sessionsOf(1), len(m.sessions))
	}
	for i := range 4 {
		root := mustOpen(t, m, 0)
		for range 4 {
			if !try(root) {
				t.Errorf("root's session %d is refused", 4*i)
			}
		}
	}
}

// Objects have limits too, over all connections of a principal, and closing one gives its part back.
func TestObjectQuotaOfAPrincipal(t *testing.T) {
	m := New(Config{Sharing: Alone, Open: func() (Chip, error) { return &gapChip{}, nil }})
	defer m.Close()
	sequence := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCHashSequenceStart)).Uint16(0).Uint16(0x000b).Bytes()
	fill := func(s *Space) (n int) {
		for {
			response, err := s.Send(sequence)
			if err != nil {
				t.Fatal(err)
			}
			if rc := binary.BigEndian.Uint32(response[6:]); rc == uint32(rcObjectQuota) {
				return n
			} else if rc != 0 {
				t.Fatalf("%#x", rc)
			}
			n++
		}
	}
	spaces := make([]*Space, 5)
	for i, want := range []int{64, 64, 64, 64, 0} {
		spaces[i] = mustOpen(t, m, 1)
		if n := fill(spaces[i]); n != want {
			t.Errorf("connection %d holds %d objects, want %d", i, n, want)
		}
	}
	if n := fill(mustOpen(t, m, 2)); n != 64 {
		t.Errorf("another user holds %d objects", n)
	}
	spaces[0].Close()
	if n := fill(spaces[4]); n != 64 {
		t.Errorf("after one connection was closed: %d objects", n)
	}
	for _, s := range spaces {
		s.Close()
	}
	if n := m.held[1]; n != 0 {
		t.Errorf("%d objects are counted of a user who has none", n)
	}
}
