package rm_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

func named(t testing.TB, name string) *filter.Filter {
	t.Helper()
	f, err := filter.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// permissive is a client under the profile all.
func (b *bench) permissive(t *testing.T, uid uint32) *rm.Space {
	t.Helper()
	s, err := b.Open(rm.Options{UID: uid, Filter: named(t, "all")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// all runs a test under the profile all on every emulator, shared and alone.
func all(t *testing.T, test func(t *testing.T, b *bench)) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		for name, sharing := range map[string]rm.Sharing{"alone": rm.Alone, "shared": rm.Shared} {
			t.Run(name, func(t *testing.T) { test(t, newBench(t, spec, sharing)) })
		}
	})
}

func flush(t testing.TB, tpm transport.TPM, handle tpm2.TPMHandle) {
	t.Helper()
	if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(tpm); err != nil {
		t.Errorf("flush 0x%x: %v", handle, err)
	}
}

// fill has another client use so many keys that everybody else's objects leave the chip.
func (b *bench) fill(t *testing.T) {
	t.Helper()
	s := b.permissive(t, 99)
	defer s.Close()
	for range 3 {
		primary(t, s)
		if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}).Execute(s); err != nil {
			t.Fatal(err)
		}
	}
}

// session starts an HMAC session that lasts.
func session(t testing.TB, tpm transport.TPM, options ...tpm2.AuthOption) tpm2.Session {
	t.Helper()
	a, _, err := tpm2.HMACSession(tpm, tpm2.TPMAlgSHA256, 16, options...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func policy(t testing.TB, tpm transport.TPM, options ...tpm2.AuthOption) tpm2.Session {
	t.Helper()
	a, _, err := tpm2.PolicySession(tpm, tpm2.TPMAlgSHA256, 16, options...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestThreeSessionsInOneCommand(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 0)
		k := newKey(t, s, false, "secret")
		decrypt := session(t, s, tpm2.AESEncryption(128, tpm2.EncryptIn))
		audit := session(t, s, tpm2.Audit())
		auth := session(t, s, tpm2.Auth(k.auth))
		for range 3 {
			r, err := tpm2.Sign{
				KeyHandle: tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: auth},
				Digest:    tpm2.TPM2BDigest{Buffer: digest[:]},
				InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA,
					Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
				Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
			}.Execute(s, decrypt, audit)
			if err != nil || r.Signature.SigAlg != tpm2.TPMAlgRSASSA {
				t.Errorf("%+v, %v", r, err)
			}
			b.fill(t)
		}
		r, err := tpm2.GetSessionAuditDigest{PrivacyAdminHandle: tpm2.TPMRHEndorsement,
			SignHandle: tpm2.TPMRHNull, SessionHandle: audit.Handle()}.Execute(s)
		if err != nil || len(r.AuditInfo.Bytes()) == 0 {
			t.Errorf("the audit: %v", err)
		}
		for _, a := range []tpm2.Session{decrypt, audit, auth} {
			flush(t, s, a.Handle())
		}
	})
}

// A policy session is used in handle areas too, is saved between two uses, and authorizes a key that only a policy opens.
func TestPolicySessions(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 0)
		trial := policy(t, s, tpm2.Trial())
		if _, err := (tpm2.PolicyCommandCode{PolicySession: trial.Handle(), Code: tpm2.TPMCCSign}).Execute(s); err != nil {
			t.Fatal(err)
		}
		r, err := tpm2.PolicyGetDigest{PolicySession: trial.Handle()}.Execute(s)
		if err != nil {
			t.Fatal(err)
		}
		flush(t, s, trial.Handle())
		sealed := template(false)
		sealed.ObjectAttributes.UserWithAuth = false
		sealed.AuthPolicy = r.PolicyDigest
		parent := primary(t, s)
		created, err := tpm2.CreateLoaded{ParentHandle: parent, InPublic: tpm2.New2BTemplate(&sealed)}.Execute(s)
		if err != nil {
			t.Fatal(err)
		}
		k := keyAt(t, s, tpm2.NamedHandle{Handle: created.ObjectHandle, Name: created.Name}, created.OutPublic)
		for range 2 {
			p := policy(t, s)
			b.fill(t)
			if _, err := (tpm2.PolicyCommandCode{PolicySession: p.Handle(), Code: tpm2.TPMCCSign}).Execute(s); err != nil {
				t.Fatal(err)
			}
			b.fill(t)
			if err := k.sign(p); err != nil {
				t.Error(err)
			}
			flush(t, s, p.Handle())
		}
		if err := k.sign(tpm2.PasswordAuth(nil)); err == nil {
			t.Error("the key signs without its policy")
		}
		other := b.permissive(t, 0)
		p := policy(t, s)
		_, err = tpm2.PolicyGetDigest{PolicySession: p.Handle()}.Execute(other)
		wantRC(t, "another's policy session", err, 0x910)
		_, err = tpm2.FlushContext{FlushHandle: p.Handle()}.Execute(other)
		wantRC(t, "flush another's policy session", err, filter.RCNoValue)
		flush(t, s, p.Handle())
	})
}

// Hash sequences on the chip: two that are interleaved and evicted, and one that is saved, goes on, and is loaded as it was.
func TestSequencesOnTheChip(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 0)
		b.recorder.Reset()
		one, two := startHash(t, s, "a"), startHash(t, s, "b")
		if codes := b.recorder.Commands(); !slices.Contains(codes, uint32(tpm2.TPMCCHashSequenceStart)) {
			t.Errorf("the sequence is not the chip's: %x", codes)
		}
		for _, piece := range []string{"x", "y", "z"} {
			for i, q := range []tpm2.AuthHandle{one, two} {
				b.fill(t)
				if err := update(s, q, piece); err != nil {
					t.Fatalf("sequence %d: %v", i, err)
				}
			}
		}
		saved := save(t, s, two.Handle)
		complete(t, s, one, "!", "xyz!")
		complete(t, s, two, "?", "xyz?")
		if err := update(s, two, "gone"); err == nil {
			t.Error("a completed sequence goes on")
		}
		r, err := tpm2.ContextLoad{Context: saved}.Execute(s)
		if err != nil {
			t.Fatal(err)
		}
		b.fill(t)
		complete(t, s, tpm2.AuthHandle{Handle: r.LoadedHandle, Auth: tpm2.PasswordAuth([]byte("b"))}, "", "xyz")
	})
}

func TestPersistentAndExternalKeys(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 0)
		k := newKey(t, s, false, "")
		const at = 0x81000055
		evict := func(what tpm2.NamedHandle) error {
			_, err := tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &what, PersistentHandle: at}.Execute(s)
			return err
		}
		b.fill(t)
		if err := evict(k.handle); err != nil {
			t.Fatal(err)
		}
		persistent := k
		persistent.handle.Handle = at
		persistent.mustSign(t)
		k.mustSign(t)
		if handles := list(t, s, at); len(handles) != 1 || handles[0] != at {
			t.Errorf("persistent handles: %x", handles)
		}
		if err := evict(persistent.handle); err != nil {
			t.Fatal(err)
		}
		external := template(false)
		external.ObjectAttributes = tpm2.TPMAObject{UserWithAuth: true, Decrypt: true}
		external.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: k.public.N.Bytes()})
		loaded, err := tpm2.LoadExternal{InPublic: tpm2.New2B(external), Hierarchy: tpm2.TPMRHNull}.Execute(s)
		if err != nil {
			t.Fatal(err)
		}
		b.fill(t)
		if r, err := (tpm2.ReadPublic{ObjectHandle: loaded.ObjectHandle}).Execute(s); err != nil || !bytes.Equal(r.Name.Buffer, loaded.Name.Buffer) {
			t.Errorf("an external key: %v", err)
		}
	})
}

func list(t testing.TB, tpm transport.TPM, from uint32) []tpm2.TPMHandle {
	t.Helper()
	return handlePage(t, tpm, from, 8).handles
}

// The kinds of handles that a client sees: its own objects and sessions, and under all whatever else the chip has.
func TestHandlesAsSeen(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		b := newBench(t, spec, rm.Alone)
		s, small := b.permissive(t, 0), b.space(t, 0)
		b.space(t, 1)
		mine, a := primary(t, s), session(t, s)
		for _, row := range []struct {
			tpm  transport.TPM
			from uint32
			want []tpm2.TPMHandle
		}{
			{s, 0x80000000, []tpm2.TPMHandle{mine.Handle}},
			{s, 0x02000000, []tpm2.TPMHandle{a.Handle()}},
			{s, 0x00000000, []tpm2.TPMHandle{0, 1, 2, 3, 4, 5, 6, 7}},
			{small, 0x80000000, nil}, {small, 0x02000000, nil}, {small, 0, nil}, {small, 0x01000000, nil}, {small, 0x81000000, nil},
			{small, 0x40000000, []tpm2.TPMHandle{tpm2.TPMRHOwner, tpm2.TPMRHNull, tpm2.TPMRSPW}},
		} {
			if got := list(t, row.tpm, row.from); !sameHandles(got, row.want) {
				t.Errorf("handles from 0x%x: %x, want %x", row.from, got, row.want)
			}
		}
		if got := list(t, s, 0x40000000); len(got) < 5 {
			t.Errorf("permanent handles under all: %x", got)
		}
	})
}

func sameHandles(a, b []tpm2.TPMHandle) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A saved session waits for its principal, in whatever connection, and for nobody else; each saved context is good once.
func TestSavedSessions(t *testing.T) {
	all(t, func(t *testing.T, b *bench) {
		s := b.permissive(t, 7)
		trial := policy(t, s, tpm2.Trial())
		if _, err := (tpm2.PolicyCommandCode{PolicySession: trial.Handle(), Code: tpm2.TPMCCSign}).Execute(s); err != nil {
			t.Fatal(err)
		}
		saved := save(t, s, trial.Handle())
		_, err := tpm2.PolicyGetDigest{PolicySession: trial.Handle()}.Execute(s)
		wantRC(t, "a session whose context was saved", err, 0x910)
		s.Close()
		_, err = tpm2.ContextLoad{Context: saved}.Execute(b.permissive(t, 8))
		wantRC(t, "another user's session", err, 0x1DF)
		s = b.permissive(t, 7)
		loaded, err := tpm2.ContextLoad{Context: saved}.Execute(s)
		if err != nil || loaded.LoadedHandle != trial.Handle() {
			t.Fatalf("%+v, %v", loaded, err)
		}
		want := sha256.Sum256(append(make([]byte, 32), 0, 0, 1, 0x6C, 0, 0, 1, 0x5D))
		if r, err := (tpm2.PolicyGetDigest{PolicySession: trial.Handle()}).Execute(s); err != nil || !bytes.Equal(r.PolicyDigest.Buffer, want[:]) {
			t.Errorf("the session has not gone on: %+v, %v", r, err)
		}
		_, err = tpm2.ContextLoad{Context: saved}.Execute(s)
		wantRC(t, "a context for the second time", err, 0x1CB)
		flush(t, s, trial.Handle())
		var first tpm2.TPMSContext
		for i := range 20 { // those that nobody loads again make room for new ones
			c := save(t, s, session(t, s).Handle())
			if i == 0 {
				first = c
			}
		}
		_, err = tpm2.ContextLoad{Context: first}.Execute(s)
		wantRC(t, "the oldest of many", err, 0x1CB)
	})
}

// What only the chip knows goes there as it is, up to the largest command; what the chip does not have is blocked, as the kernel's manager does it.
func TestUnknownCommands(t *testing.T) {
	var sent []byte
	fake := tpmtest.Func(func(command []byte) ([]byte, error) {
		h, _ := wire.ParseHeader(command)
		if h.Code != uint32(tpm2.TPMCCGetCapability) {
			sent = bytes.Clone(command)
			if h.Tag == tpm2.TPMSTSessions {
				return wire.NewMessage(h.Tag, 0).Uint32(0).Uint16(0).Uint8(wire.ContinueSession).Uint16(0).Bytes(), nil
			}
			return wire.NewMessage(h.Tag, 0).Uint32(0x80ABCDEF).Bytes(), nil
		}
		m := wire.NewMessage(tpm2.TPMSTNoSessions, 0).Uint8(0).Uint32(uint32(tpm2.TPMCapCommands)).Uint32(4)
		m.Uint32(0x00000199)                             // no handles
		m.Uint32(0x000001A0 | 1<<25)                     // names a hierarchy
		m.Uint32(0x20000001 | 1<<28)                     // makes an object
		return m.Uint32(0x20000002 | 1<<25).Bytes(), nil // names one
	})
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{fake}, nil }})
	defer m.Close()
	s, err := m.Open(rm.Options{Filter: named(t, "all")})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(tpm *rm.Space, code uint32, body ...byte) tpm2.TPMRC {
		t.Helper()
		sent = nil
		response, err := tpm.Send(wire.NewMessage(tpm2.TPMSTNoSessions, code).Raw(body).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		h, _ := wire.ParseHeader(response)
		return tpm2.TPMRC(h.Code)
	}
	if rc := ask(s, 0x199, make([]byte, 4086)...); rc != 0 || len(sent) != 4096 {
		t.Errorf("a newer command of 4096 bytes: 0x%x, %d bytes", uint32(rc), len(sent))
	}
	if rc := ask(s, 0x199, make([]byte, 4087)...); rc != tpm2.TPMRCCommandSize || sent != nil {
		t.Errorf("a command of 4097 bytes: 0x%x", uint32(rc))
	}
	readOnly := wire.NewMessage(tpm2.TPMSTSessions, 0x1A0).Uint32(uint32(tpm2.TPMRHPlatform)).Uint32(9).Uint32(wire.RSPassword).Raw(make([]byte, 6)).Bytes()
	if r, err := s.Send(readOnly); err != nil || len(r) < wire.HeaderSize || !bytes.Equal(sent, readOnly) {
		t.Errorf("a newer command with a password: %x, %v, sent %x", r, err, sent)
	}
	if rc := ask(s, 0x20000001); rc != 0 {
		t.Errorf("a maker's command: 0x%x", uint32(rc))
	}
	if rc := ask(s, 0x20000002, 0x80, 0, 0, 0); rc != 0 || !bytes.Equal(sent[10:], []byte{0x80, 0xAB, 0xCD, 0xEF}) {
		t.Errorf("a handle in a maker's command: 0x%x, sent %x", uint32(rc), sent)
	}
	for _, code := range []uint32{0x1FE, 0x20000003, 0x19A} {
		if rc := ask(s, code); rc != filter.RCDenied || sent != nil {
			t.Errorf("command 0x%x, which the chip does not have: 0x%x", code, uint32(rc))
		}
	}
	if rc := ask(s, 0x20000002, 0x80, 0, 0, 9); rc != 0x910 || sent != nil {
		t.Errorf("another's handle in a maker's command: 0x%x", uint32(rc))
	}
	plain, err := m.Open(rm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rc := ask(plain, 0x20000001); rc != filter.RCDenied || sent != nil {
		t.Errorf("a maker's command under rsa: 0x%x", uint32(rc))
	}
	s.Narrow(filter.Default())
	if rc := ask(s, 0x20000001); rc != filter.RCDenied || sent != nil {
		t.Errorf("a maker's command after the filter was narrowed: 0x%x", uint32(rc))
	}
}
