package rm_test

import (
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// loadedSessions and savedSessions are what TPM2_GetCapability is asked for (Part 2, 7.2): they are no kinds of sessions.
const (
	loadedSessions uint32 = 0x02000000
	savedSessions  uint32 = 0x03000000
)

// Sessions are listed as a chip lists them: loaded ones of both kinds, and those that were saved.
func TestSessionsAsListed(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 1)
		other := b.permissive(t, 2)
		session(t, other)
		save(t, other, policy(t, other).Handle())
		first, second := policy(t, s).Handle(), session(t, s).Handle()
		wantList(t, "loaded", list(t, s, loadedSessions), first, second)
		wantList(t, "loaded, from the second on", list(t, s, loadedSessions|uint32(first)&0xFFFFFF+1), second)
		wantList(t, "saved", list(t, s, savedSessions))
		save(t, s, first)
		wantList(t, "loaded after a save", list(t, s, loadedSessions), second)
		wantList(t, "saved after a save", list(t, s, savedSessions), first)
		wantList(t, "saved, as another connection sees it", list(t, b.permissive(t, 1), savedSessions), first)
	})
}

func wantList(t *testing.T, what string, got []tpm2.TPMHandle, want ...tpm2.TPMHandle) {
	t.Helper()
	if !sameHandles(got, want) {
		t.Errorf("%s: %x, want %x", what, got, want)
	}
}

// With an audit session the chip itself answers, and vouches for it. It would tell of everybody's handles, so it is not asked for those.
func TestCapabilityUnderAudit(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		primary(t, b.permissive(t, 2))
		s := b.permissive(t, 1)
		audit := session(t, s, tpm2.Audit())
		ask := func(kind tpm2.TPMCap, property uint32, auth tpm2.Session) (*tpm2.GetCapabilityResponse, error) {
			return tpm2.GetCapability{Capability: kind, Property: property, PropertyCount: 8}.Execute(s, auth)
		}
		for property, kind := range map[uint32]tpm2.TPMCap{0x80000000: tpm2.TPMCapHandles, loadedSessions: tpm2.TPMCapHandles, savedSessions: tpm2.TPMCapHandles, 0x100: tpm2.TPMCapCommands} {
			_, err := ask(kind, property, audit)
			wantRC(t, "audited", err, tpm2.TPMRCAuthContext)
		}
		if _, err := ask(tpm2.TPMCapHandles, 0x40000000, audit); err != nil {
			t.Errorf("permanent handles: %v", err)
		}
		if r, err := ask(tpm2.TPMCapTPMProperties, uint32(tpm2.TPMPTManufacturer), audit); err != nil || r.CapabilityData.Capability != tpm2.TPMCapTPMProperties {
			t.Errorf("properties: %+v, %v", r, err)
		}
	})
}

// A list is as long as it is, however much of it is asked for: also where an int has 32 bits (GOARCH=arm).
func TestMostOfACapability(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := b.space(t, nobody)
	k := newKey(t, s, false, "")
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x80000000, PropertyCount: 0xFFFFFFFF}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.CapabilityData.Data.Handles(); err != nil || !slices.Contains(list.Handle, tpm2.TPMHandle(k.handle.Handle)) {
		t.Errorf("the client's objects: %v, %v", list, err)
	}
}
