package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm"
	"tpmkey.example/rm/wire"
)

// What the integration tests of tpm2-abrmd 3.0 ask of a resource manager, by their names. The sessions are in abrmd_sessions_test.go; what is about
// connections stands in cmd/tpmkeyd too.
var abrmdCases = []struct {
	name string
	run  func(t *testing.T, b *bench, uid uint32)
}{
	{"auth-session-max", authSessionMax},
	{"auth-session-start-flush", authSessionStartFlush},
	{"auth-session-start-save", authSessionStartSave},
	{"auth-session-start-save-load", authSessionStartSaveLoad},
	{"get-capability-handles-transient", getCapabilityHandlesTransient},
	{"get-capability-with-session", getCapabilityWithSession},
	{"hash-sequence", hashSequence},
	{"manage-transient-keys", manageTransientKeys},
	{"max-transient-upperbound", maxTransientUpperbound},
	{"not-enough-handles-for-command", notEnoughHandles},
	{"password-authorization", passwordAuthorization},
	{"session-gap", sessionGap},
	{"session-load-from-closed-connection", sessionFromClosedConnection},
	{"session-load-from-closed-connections-lru", sessionFromClosedConnections},
	{"session-load-from-open-connection", sessionFromOpenConnection},
	{"start-auth-session", startAuthSession},
	{"tcti-connect-multiple", connectMultiple},
	{"tcti-double-finalize", doubleFinalize},
	{"tcti-set-locality", setLocality},
	{"tpm2-command-flush-no-handle", flushNoHandle},
	{"util-buf-max-upper-bound", tooLongCommand},
}

func TestAbrmd(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		for i, c := range abrmdCases {
			t.Run(c.name, func(t *testing.T) { c.run(t, b, uint32(1000+i)) })
		}
	})
}

// A child is a key of which any number can be loaded.
type child struct {
	parent  tpm2.NamedHandle
	created *tpm2.CreateResponse
}

func newChild(t testing.TB, s *rm.Space) child {
	t.Helper()
	parent := primary(t, s)
	created, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(template(false))}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	return child{parent, created}
}

func (c child) load(s *rm.Space) (tpm2.TPMHandle, error) {
	r, err := tpm2.Load{ParentHandle: c.parent, InPrivate: c.created.OutPrivate, InPublic: c.created.OutPublic}.Execute(s)
	if err != nil {
		return 0, err
	}
	return r.ObjectHandle, nil
}

// Five objects are listed in the order of their making, in pages of two and in one.
func getCapabilityHandlesTransient(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	c := newChild(t, s)
	want := []tpm2.TPMHandle{c.parent.Handle}
	for range 4 {
		handle, err := c.load(s)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, handle)
	}
	b.fill(t)
	wantList(t, "in one", list(t, s, 0x80000000), want...)
	var got []tpm2.TPMHandle
	for next, more := uint32(0x80000000), true; more; next = uint32(got[len(got)-1]) + 1 {
		page := handlePage(t, s, next, 2)
		if more = page.more; len(page.handles) == 0 || len(page.handles) > 2 {
			t.Fatalf("a page from 0x%x: %x", next, page.handles)
		}
		got = append(got, page.handles...)
	}
	wantList(t, "in pages", got, want...)
}

type page struct {
	handles []tpm2.TPMHandle
	more    bool
}

func handlePage(t testing.TB, tpm transport.TPM, from, count uint32) page {
	t.Helper()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: from, PropertyCount: count}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	handles, err := r.CapabilityData.Data.Handles()
	if err != nil {
		t.Fatal(err)
	}
	return page{handles.Handle, bool(r.MoreData)}
}

// A password authorizes nothing here, and an audit session may stand beside any command.
func getCapabilityWithSession(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	ask := func(auth tpm2.Session) error {
		_, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs}.Execute(s, auth)
		return err
	}
	wantRC(t, "with a password", ask(tpm2.PasswordAuth(nil)), 0x98B)
	if err := ask(session(t, s, tpm2.Audit())); err != nil {
		t.Errorf("with an audit session: %v", err)
	}
}

func manageTransientKeys(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	k := newKey(t, s, false, "")
	saved := save(t, s, k.handle.Handle)
	flush(t, s, k.handle.Handle)
	wantRC(t, "a key that was flushed", k.sign(tpm2.PasswordAuth(nil)), 0x910)
	r, err := tpm2.ContextLoad{Context: saved}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	k.handle.Handle = r.LoadedHandle
	k.mustSign(t)
}

// Making keys has no limit, loading them has one. tpm2-abrmd's is 27, ours 64, the parent included.
func maxTransientUpperbound(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	c := newChild(t, s)
	for i := range 63 {
		if _, err := c.load(s); err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
	}
	_, err := c.load(s)
	wantRC(t, "a key too many", err, 0x000B0902)
	if _, err := (tpm2.Create{ParentHandle: c.parent, InPublic: tpm2.New2B(eccKey())}).Execute(s); err != nil {
		t.Errorf("make one all the same: %v", err)
	}
}

func eccKey() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true},
		Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})}
}

// An index of NV storage opens with its password, and with no other.
func passwordAuthorization(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	public := tpm2.TPMSNVPublic{NVIndex: 0x01500020, NameAlg: tpm2.TPMAlgSHA1, DataSize: 32,
		Attributes: tpm2.TPMANV{AuthRead: true, AuthWrite: true, Orderly: true}}
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, Auth: tpm2.TPM2BAuth{Buffer: []byte("test password")}, PublicInfo: tpm2.New2B(public)}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	read, err := tpm2.NVReadPublic{NVIndex: public.NVIndex}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	write := func(password string) error {
		_, err := tpm2.NVWrite{
			AuthHandle: tpm2.AuthHandle{Handle: public.NVIndex, Name: read.NVName, Auth: tpm2.PasswordAuth([]byte(password))},
			NVIndex:    tpm2.NamedHandle{Handle: public.NVIndex, Name: read.NVName},
			Data:       tpm2.TPM2BMaxNVBuffer{Buffer: []byte{0xff, 0xfe, 0xfd, 0xfc}}}.Execute(s)
		return err
	}
	if err := write("test password"); err != nil {
		t.Errorf("write with the password: %v", err)
	}
	wantRC(t, "write with another one", write("test\xffpassword"), 0x98E)
	_, err = tpm2.NVUndefineSpace{AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: public.NVIndex, Name: read.NVName}}.Execute(s)
	if err != nil {
		t.Error(err)
	}
}

// malformed is a command that ends in the manager; the next one finds everything as it was.
func malformed(t *testing.T, b *bench, uid uint32, command []byte, want tpm2.TPMRC) {
	t.Helper()
	s := b.permissive(t, uid)
	mine := primary(t, s)
	n := b.commands(func() {
		response, err := s.Send(command)
		if h, ok := wire.ParseHeader(response); err != nil || !ok || tpm2.TPMRC(h.Code) != want {
			t.Errorf("%x, %v, want 0x%x", response, err, uint32(want))
		}
	})
	if n != 0 {
		t.Error("it reached the chip")
	}
	if _, err := (tpm2.ReadPublic{ObjectHandle: mine.Handle}).Execute(s); err != nil {
		t.Errorf("the next command: %v", err)
	}
}

// TPM2_PolicyNV without the third of its handles.
func notEnoughHandles(t *testing.T, b *bench, uid uint32) {
	m := wire.NewMessage(tpm2.TPMSTSessions, uint32(tpm2.TPMCCPolicyNV)).Uint32(0x01020304).Uint32(0xF0E0D0C0)
	malformed(t, b, uid, m.Bytes(), tpm2.TPMRCCommandSize)
}

// TPM2_FlushContext that ends with its header. tpm2-abrmd looks for TPM_RC_INSUFFICIENT; this parser does not say which parameter it misses.
func flushNoHandle(t *testing.T, b *bench, uid uint32) {
	malformed(t, b, uid, wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCFlushContext)).Bytes(), tpm2.TPMRCSize)
}

// A command that says it has 8192 bytes, and one that has them.
func tooLongCommand(t *testing.T, b *bench, uid uint32) {
	m := wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCContextSave)).Uint32(0)
	said := m.Bytes()
	said[4], said[5] = 0x20, 0
	malformed(t, b, uid, said, tpm2.TPMRCCommandSize)
	malformed(t, b, uid, m.Raw(make([]byte, 8192-len(said))).Bytes(), tpm2.TPMRCCommandSize)
}

// Many connections, each of which asks something and leaves.
func connectMultiple(t *testing.T, b *bench, uid uint32) {
	var spaces []*rm.Space
	for range 25 {
		spaces = append(spaces, b.permissive(t, uid))
	}
	for _, s := range spaces {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: 0x100, PropertyCount: 0x7f}.Execute(s)
		if err != nil || r.CapabilityData.Capability != tpm2.TPMCapTPMProperties {
			t.Errorf("%+v, %v", r, err)
		}
	}
	for _, s := range spaces {
		s.Close()
	}
}

func doubleFinalize(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	primary(t, s)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	primary(t, b.permissive(t, uid))
}

// There is no way to another locality than 0: what locality 0 may do works, what needs a higher one does not (TPM2_PCR_Reset, PC Client PTP 1.05, 4.6.2).
func setLocality(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	reset := func(pcr tpm2.TPMHandle) error {
		_, err := tpm2.PCRReset{PCRHandle: tpm2.AuthHandle{Handle: pcr, Auth: tpm2.PasswordAuth(nil)}}.Execute(s)
		return err
	}
	if err := reset(23); err != nil {
		t.Errorf("reset PCR 23: %v", err)
	}
	wantRC(t, "reset PCR 20", reset(20), tpm2.TPMRCLocality)
}
