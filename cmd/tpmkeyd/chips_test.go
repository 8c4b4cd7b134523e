package main

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// The chips of a machine come and go. What is no chip has a name like one.
func TestChipNumbers(t *testing.T) {
	c := &chips{dir: t.TempDir(), chip: device.Chip}
	defer c.close()
	if _, err := c.find(anyChip); err == nil || !strings.Contains(err.Error(), "there is no TPM, and no "+c.dir+"/tpm0") {
		t.Errorf("no chip: %v", err)
	}
	for _, name := range []string{"tpm10", "tpm2", "tpmrm2", "tpm", "tpms", "tpm02", "tpm-1", "tpm2x"} {
		if err := os.WriteFile(filepath.Join(c.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.numbers(); !slices.Equal(got, []int{2, 10}) {
		t.Errorf("chips %v", got)
	}
	for number, want := range map[int]int{anyChip: 2, 2: 2, 10: 10} {
		if got, err := c.find(number); got != want || err != nil {
			t.Errorf("chip %d is %d, %v", number, got, err)
		}
	}
	if _, err := c.find(1); err == nil || err.Error() != "there is no chip 1; there are: 2 10" {
		t.Errorf("chip 1: %v", err)
	}
	os.Rename(c.path(10), c.path(0))
	if got, err := c.find(anyChip); got != 0 || err != nil {
		t.Errorf("the first is %d, %v", got, err)
	}
}

// Each chip has one manager, and what was kept for it.
func TestManagerOfAChip(t *testing.T) {
	var asked []int
	broken := errors.New("what was kept is damaged")
	c := &chips{named: make([]rm.Config, 3), complete: func(n int, config rm.Config) (rm.Config, error) {
		if asked = append(asked, n); n == 2 {
			return config, broken
		}
		return config, nil
	}}
	_, first, err1 := c.manager(anyChip)
	_, again, err2 := c.manager(0)
	_, other, err3 := c.manager(1)
	if err := errors.Join(err1, err2, err3); err != nil || first != again || first == other || !slices.Equal(asked, []int{0, 1}) {
		t.Errorf("%v, asked for %v", err, asked)
	}
	if err := c.prepare(); err != broken {
		t.Errorf("prepared: %v", err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if _, _, err := c.manager(0); err != rm.ErrClosed {
		t.Errorf("after the end: %v", err)
	}
}

// slotted is a machine with slots for chips, into which a test plugs emulators.
type slotted struct {
	*chips
	mu    sync.Mutex
	specs map[string]string // by the path of the node
}

func newSlotted(t *testing.T) *slotted {
	s := &slotted{specs: map[string]string{}}
	s.chips = &chips{dir: t.TempDir(), chip: func(path string) (rm.Config, error) {
		config, err := device.Chip("unix:/none")
		config.Open = func() (rm.Chip, error) { return s.connect(path) }
		return config, err
	}}
	return s
}

func (s *slotted) plug(t *testing.T, number int, spec string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.specs[s.path(number)] = spec
	if err := os.WriteFile(s.path(number), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *slotted) unplug(t *testing.T, number int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.specs, s.path(number))
	if err := os.Remove(s.path(number)); err != nil {
		t.Fatal(err)
	}
}

func (s *slotted) connect(path string) (rm.Chip, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.specs[path] == "" {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	config, err := device.OpenChip(s.specs[path])
	if err != nil {
		return nil, err
	}
	chip, err := config.Open()
	return pluggable{chip, func() bool { return s.there(path) }}, err
}

func (s *slotted) there(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.specs[path] != ""
}

// pluggable is a chip that says what the kernel says once it was unplugged.
type pluggable struct {
	rm.Chip
	there func() bool
}

func (p pluggable) Send(command []byte) ([]byte, error) {
	if !p.there() {
		return nil, unix.ENODEV
	}
	return p.Chip.Send(command)
}

// A chip that goes fails its own clients and nobody else's; one that comes serves old and new ones.
func TestHotPlug(t *testing.T) {
	machine, j := newSlotted(t), &journal{}
	s := newServer(machine.chips, nil, log.New(j, "", 0))
	defer machine.close()
	if err := machine.probe(s.log); err != nil || !strings.Contains(j.String(), "there is no TPM yet: no "+machine.path(0)) {
		t.Errorf("without a chip: %v; the log says %q", err, j)
	}
	in := func(number int) *client { return machine.enter(t, s, 1000, number) }
	machine.plug(t, 0, tpmtest.SWTPM(t))
	machine.plug(t, 1, tpmtest.SWTPM(t))
	stays, goes := in(anyChip), in(1)
	wantAnswer(t, "chip 0", stays, 0)
	wantAnswer(t, "chip 1", goes, 0)
	machine.unplug(t, 1)
	wantAnswer(t, "chip 1 without it", goes, uint32(rcIOError))
	wantAnswer(t, "chip 0 without chip 1", stays, 0)
	if _, err := s.enter(caller{uid: 1000}, grant{filter: named(t, "rsa"), chip: 1}); err == nil || err.Error() != "there is no chip 1; there are: 0" {
		t.Errorf("entered at a chip that has gone: %v", err)
	}
	j.await(t, "chip 1: no such device")
	machine.plug(t, 1, tpmtest.SWTPM(t))
	wantAnswer(t, "chip 1 again", goes, 0)
	wantAnswer(t, "chip 1, newly", in(1), 0)
}

// enter lets somebody in at a chip until the test ends.
func (s *slotted) enter(t *testing.T, to *server, uid uint32, chip int) *client {
	t.Helper()
	c, err := to.enter(caller{uid: uid}, grant{filter: named(t, "rsa"), chip: chip})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.leave)
	return c
}

// wantAnswer asks for random bytes and wants an answer with this code.
func wantAnswer(t *testing.T, what string, c *client, code uint32) {
	t.Helper()
	wantCode(t, what, c, getRandom(8), code)
}

func wantCode(t *testing.T, what string, c *client, command []byte, code uint32) {
	t.Helper()
	response, err := c.send(command)
	if h, ok := wire.ParseHeader(response); err != nil || !ok || h.Code != code {
		t.Errorf("%s: %x, %v, want the code 0x%x", what, response, err, code)
	}
}

// Of the machine's chips one that can be used is enough.
func TestProbe(t *testing.T) {
	machine, j := newSlotted(t), &journal{}
	logger := log.New(j, "", 0)
	machine.plug(t, 0, "unix:/nonexistent/one")
	if err := machine.probe(logger); err == nil || !strings.Contains(err.Error(), "chip 0: open unix:/nonexistent/one") {
		t.Errorf("no chip that can be used: %v", err)
	}
	machine.plug(t, 2, tpmtest.SWTPM(t))
	if err := machine.probe(logger); err != nil || !strings.Contains(j.String(), "chip 0: open unix:/nonexistent/one") {
		t.Errorf("one of two: %v; the log says %q", err, j)
	}
}
