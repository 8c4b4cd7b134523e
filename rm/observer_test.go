//go:build check

package rm_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// An observer looks at a raw chip below the manager. It takes no slot and no session, and fails the test when anything is otherwise than at the start that an
// unprivileged client must not change, or when the chip holds more than it may.
type observer struct {
	chip   tpmtest.Sender
	budget uint32            // how far the lockout counter may go (U6)
	first  map[string]string // what must not change, by its name
	clock  uint64
}

// What all unprivileged clients together may keep active, of the chip's 64 sessions.
const mostSessions = 64 - 16

func newObserver(t *testing.T, chip tpmtest.Sender) *observer {
	t.Helper()
	o := &observer{chip: chip}
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm2.TPMHandle(watchedNV), NameAlg: tpm2.TPMAlgSHA256,
		Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, NoDA: true}, DataSize: 8})}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	o.ask(t, put(tpm2.TPMCCNVWrite, []uint32{watchedNV, watchedNV}, byPassword, sized([]byte("precious")), []byte{0, 0}))
	most := o.properties(t)[tpm2.TPMPTMaxAuthFail]
	o.budget = min(max(1, most/4), most-2)
	o.first = o.lasting(t)
	return o
}

// check looks at everything once.
func (o *observer) check(t *testing.T) {
	t.Helper()
	now := o.lasting(t)
	for name := range now {
		if now[name] != o.first[name] {
			t.Errorf("%s was %s, is %s", name, o.first[name], now[name])
		}
	}
	if len(now) != len(o.first) {
		t.Errorf("%d things were watched, now %d: %v", len(o.first), len(now), slices.Sorted(maps.Keys(now)))
	}
	p := o.properties(t)
	for _, bound := range []struct {
		property tpm2.TPMPT
		most     uint32
	}{
		{tpm2.TPMPTLockoutCounter, o.budget}, {tpm2.TPMPTHRActive, mostSessions}, {tpm2.TPMPTHRLoaded, 3},
	} {
		if value, ok := p[bound.property]; !ok || value > bound.most {
			t.Errorf("property 0x%x is %d, more than %d", uint32(bound.property), value, bound.most)
		}
	}
	o.checkClock(t)
	// The owner's authorization is what it was: this changes nothing, and needs it.
	o.ask(t, put(tpm2.TPMCCClockRateAdjust, []uint32{uint32(tpm2.TPMRHOwner)}, byPassword, []byte{0}))
}

// checkClock is about the clock's running; what it counts is among the lasting things.
func (o *observer) checkClock(t *testing.T) {
	t.Helper()
	c := wire.NewCursor(o.ask(t, put(tpm2.TPMCCReadClock, nil, nil)))
	c.Take(8) // time
	clock := uint64(c.Uint32())<<32 | uint64(c.Uint32())
	if clock < o.clock {
		t.Errorf("the clock went back from %d to %d", o.clock, clock)
	}
	o.clock = clock
}

// moving are the properties that commands of anybody change (TPM_PT, Part 2, 6.13).
var moving = []tpm2.TPMPT{
	tpm2.TPMPTHRLoaded, tpm2.TPMPTHRLoadedAvail, tpm2.TPMPTHRActive, tpm2.TPMPTHRActiveAvail, tpm2.TPMPTHRTransientAvail, tpm2.TPMPTLockoutCounter,
}

// lasting is what must stay as it is.
func (o *observer) lasting(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{
		"the persistent handles": o.list(t, tpm2.TPMCapHandles, 0x81000000),
		"the NV indices":         o.list(t, tpm2.TPMCapHandles, 0x01000000),
		"the NV index":           hex.EncodeToString(o.ask(t, put(tpm2.TPMCCNVReadPublic, []uint32{watchedNV}, nil))),
		"its data":               hex.EncodeToString(o.ask(t, put(tpm2.TPMCCNVRead, []uint32{watchedNV, watchedNV}, byPassword, []byte{0, 8, 0, 0}))),
		"the banks of PCRs":      o.list(t, tpm2.TPMCapPCRs, 0),
		"the PCRs' properties":   o.list(t, tpm2.TPMCapPCRProperties, 0),
		"the policies":           o.list(t, tpm2.TPMCapAuthPolicies, 0x40000000),
		"the audited commands":   o.list(t, tpm2.TPMCapAuditCommands, 0),
		"resets and safety":      hex.EncodeToString(o.ask(t, put(tpm2.TPMCCReadClock, nil, nil))[16:]),
	}
	for property, value := range o.properties(t) {
		if !slices.Contains(moving, property) {
			state[fmt.Sprintf("property 0x%x", uint32(property))] = fmt.Sprint(value)
		}
	}
	for _, bank := range []tpm2.TPMAlgID{tpm2.TPMAlgSHA1, tpm2.TPMAlgSHA256, tpm2.TPMAlgSHA384, tpm2.TPMAlgSHA512} {
		for eight := range 3 {
			selection := append([]byte{0, 0, 0, 1, byte(bank >> 8), byte(bank), 3}, 0, 0, 0)
			selection[7+eight] = 0xFF
			values := o.ask(t, put(tpm2.TPMCCPCRRead, nil, nil, selection)) // with how often PCRs were changed
			state[fmt.Sprintf("PCRs %d to %d of bank 0x%x", 8*eight, 8*eight+7, uint16(bank))] = hex.EncodeToString(values)
		}
	}
	return state
}

// properties are all TPM_PT values.
func (o *observer) properties(t *testing.T) map[tpm2.TPMPT]uint32 {
	t.Helper()
	found := map[tpm2.TPMPT]uint32{}
	for _, group := range []uint32{0x100, 0x200} {
		c := wire.NewCursor(o.ask(t, put(tpm2.TPMCCGetCapability, nil, nil, number(uint32(tpm2.TPMCapTPMProperties)), number(group), number(254)))[5:])
		for range c.Uint32() {
			property := tpm2.TPMPT(c.Uint32())
			found[property] = c.Uint32()
		}
	}
	return found
}

func (o *observer) list(t *testing.T, kind tpm2.TPMCap, first uint32) string {
	t.Helper()
	return hex.EncodeToString(o.ask(t, put(tpm2.TPMCCGetCapability, nil, nil, number(uint32(kind)), number(first), number(254))))
}

// ask gives the parameters of a response to a command that must succeed.
func (o *observer) ask(t *testing.T, command []byte) []byte {
	t.Helper()
	response, err := o.chip.Send(command)
	h, ok := wire.ParseHeader(response)
	if err != nil || !ok || h.Code != 0 {
		t.Fatalf("the observer's %x: %x, %v", command, response, err)
	}
	if h.Tag == tpm2.TPMSTSessions {
		c := wire.NewCursor(response[wire.HeaderSize:])
		return c.Take(int(c.Uint32()))
	}
	return response[wire.HeaderSize:]
}
