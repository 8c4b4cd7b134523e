package rm_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// nobody is a principal without privileges.
const nobody = 65534

// bench is an emulator with a recorder in front of it and a manager on top.
type bench struct {
	*rm.Manager
	recorder *tpmtest.Recorder
	opened   int
}

// chip is a Sender with a Close that ends nothing: the connection below belongs to the test.
type chip struct{ tpmtest.Sender }

func (chip) Close() error { return nil }

func newBench(t *testing.T, spec string, sharing rm.Sharing) *bench {
	t.Helper()
	b := &bench{recorder: tpmtest.Record(tpmtest.Dial(t, spec))}
	b.Manager = rm.New(rm.Config{Sharing: sharing, Open: func() (rm.Chip, error) {
		b.opened++
		return chip{b.recorder}, nil
	}})
	t.Cleanup(func() {
		b.Close()
		leaks, err := tpmtest.Leaks(b.recorder)
		if err != nil || len(leaks) > 0 {
			t.Errorf("left on the chip: %x, %v", leaks, err)
		}
	})
	return b
}

func (b *bench) space(t *testing.T, uid uint32) *rm.Space {
	t.Helper()
	s, err := b.Open(rm.Options{UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// commands counts what reaches the chip while work runs.
func (b *bench) commands(work func()) int {
	b.recorder.Reset()
	work()
	return b.recorder.Count()
}

// A key is one that a client has loaded.
type key struct {
	tpm    transport.TPM
	handle tpm2.NamedHandle
	public *rsa.PublicKey
	auth   []byte
}

func primary(t testing.TB, tpm transport.TPM) tpm2.NamedHandle {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}
}

// template is that of an RSA key; da is whether the chip counts its failed authorizations.
func template(da bool) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: !da, SignEncrypt: true, Decrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048}),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{}),
	}
}

// newKey makes a key under a primary, loads it and flushes the primary.
func newKey(t testing.TB, tpm transport.TPM, da bool, auth string) key {
	t.Helper()
	parent := primary(t, tpm)
	created := createBelow(t, tpm, parent, da, auth)
	k := load(t, tpm, parent, created.private, created.public)
	k.auth = []byte(auth)
	if _, err := (tpm2.FlushContext{FlushHandle: parent.Handle}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
	return k
}

func load(t testing.TB, tpm transport.TPM, parent tpm2.NamedHandle, private tpm2.TPM2BPrivate, public tpm2.TPM2BPublic) key {
	t.Helper()
	loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: private, InPublic: public}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return keyAt(t, tpm, tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}, public)
}

// keyAt is a key that is loaded.
func keyAt(t testing.TB, tpm transport.TPM, handle tpm2.NamedHandle, public tpm2.TPM2BPublic) key {
	t.Helper()
	area, err := public.Contents()
	if err != nil {
		t.Fatal(err)
	}
	modulus, err := area.Unique.RSA()
	if err != nil {
		t.Fatal(err)
	}
	k := key{tpm: tpm, handle: handle}
	if k.public, err = tpm2.RSAPub(&tpm2.TPMSRSAParms{KeyBits: 2048}, modulus); err != nil {
		t.Fatal(err)
	}
	return k
}

var digest = sha256.Sum256([]byte("what is signed"))

// sign signs and verifies; the error is the TPM's.
func (k key) sign(auth tpm2.Session) error {
	r, err := tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: auth},
		Digest:    tpm2.TPM2BDigest{Buffer: digest[:]},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(k.tpm)
	if err != nil {
		return err
	}
	signature, err := r.Signature.Signature.RSASSA()
	if err != nil {
		return err
	}
	return rsa.VerifyPKCS1v15(k.public, crypto.SHA256, digest[:], signature.Sig.Buffer)
}

func (k key) mustSign(t testing.TB) {
	t.Helper()
	if err := k.sign(tpm2.PasswordAuth(k.auth)); err != nil {
		t.Errorf("sign: %v", err)
	}
}

func wantRC(t *testing.T, what string, err error, want tpm2.TPMRC) {
	t.Helper()
	var rc tpm2.TPMRC
	if !errors.As(err, &rc) || rc != want {
		t.Errorf("%s: %v, want 0x%x", what, err, uint32(want))
	}
}

func TestManyClientsOnThreeSlots(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		b := newBench(t, spec, rm.Alone)
		var keys []key
		for i := range 6 {
			keys = append(keys, newKey(t, b.space(t, uint32(1000+i)), false, ""))
		}
		for range 2 {
			for _, k := range keys {
				k.mustSign(t)
			}
		}
		const signatures = 12
		n := b.commands(func() {
			for range signatures / len(keys) {
				for _, k := range keys {
					k.mustSign(t)
				}
			}
		})
		if n > 3*signatures {
			t.Errorf("%d commands for %d signatures of keys that evict one another, want at most 3 each", n, signatures)
		}
		if n := b.commands(func() { keys[0].mustSign(t); keys[0].mustSign(t); keys[0].mustSign(t) }); n > 3+2 {
			t.Errorf("%d commands for three signatures with one key, want 1 each once it is loaded", n)
		}
	})
}

func TestWarmSignatureIsOneCommand(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	k := newKey(t, b.space(t, nobody), false, "")
	k.mustSign(t)
	if n := b.commands(func() { k.mustSign(t) }); n != 1 {
		t.Errorf("%d commands for a warm signature", n)
	}
}

func TestConcurrentClients(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	var keys []key
	for i := range 5 {
		keys = append(keys, newKey(t, b.space(t, uint32(i)), false, ""))
	}
	var wg sync.WaitGroup
	for _, k := range keys {
		for range 2 {
			wg.Go(func() {
				for range 5 {
					k.mustSign(t)
				}
			})
		}
	}
	wg.Wait()
}

func TestOwnHandlesOnly(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	mine, theirs := b.space(t, 1000), b.space(t, 1001)
	k := newKey(t, mine, false, "")
	start := func(tpm transport.TPM) tpm2.TPMHandle {
		r, err := tpm2.StartAuthSession{TPMKey: tpm2.TPMRHNull, Bind: tpm2.TPMRHNull, SessionType: tpm2.TPMSEHMAC,
			NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)}, AuthHash: tpm2.TPMAlgSHA256,
			Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		return r.SessionHandle
	}
	session := start(mine)

	stolen := k
	stolen.tpm = theirs
	wantRC(t, "sign with another's key", stolen.sign(tpm2.PasswordAuth(nil)), 0x910)
	_, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x80000000)}.Execute(theirs)
	wantRC(t, "read what the chip has at its own handle", err, 0x910)
	for what, handle := range map[string]tpm2.TPMHandle{"key": k.handle.Handle, "session": session, "persistent key": tpmtest.SRKHandle} {
		_, err := tpm2.FlushContext{FlushHandle: handle}.Execute(theirs)
		wantRC(t, "flush another's "+what, err, 0x1C4)
	}
	k.mustSign(t)
	if _, err := (tpm2.FlushContext{FlushHandle: session}).Execute(mine); err != nil {
		t.Errorf("flush one's own session: %v", err)
	}
	_, err = tpm2.FlushContext{FlushHandle: session}.Execute(mine)
	wantRC(t, "flush it again", err, 0x1C4)
}

func TestClosedClientLeavesNothing(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		b := newBench(t, spec, rm.Alone)
		for i := range 3 {
			s := b.space(t, uint32(i))
			newKey(t, s, false, "")
			authSession, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = authSession, end // the client vanishes before it ends its session
			s.Close()
			s.Close()
			if _, err := s.Send([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8}); !errors.Is(err, rm.ErrClosed) {
				t.Errorf("a command after Close: %v", err)
			}
		}
		leaks, err := tpmtest.Leaks(b.recorder)
		if err != nil || len(leaks) > 1 {
			t.Errorf("besides the parent that all share there is %x, %v", leaks, err)
		}
	})
}

func TestPrimaryIsMadeOnce(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	first := primary(t, b.space(t, 1))
	other := b.space(t, 2)
	var second tpm2.NamedHandle
	if n := b.commands(func() { second = primary(t, other) }); n != 0 {
		t.Errorf("%d commands for a primary that is there", n)
	}
	if !bytes.Equal(first.Name.Buffer, second.Name.Buffer) {
		t.Errorf("two clients see different primaries: %x, %x", first.Name.Buffer, second.Name.Buffer)
	}
	newKey(t, other, false, "").mustSign(t)
}

func TestSalt(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		b := newBench(t, spec, rm.Alone)
		var work []func()
		for i := range 4 { // one more session than the chip holds loaded
			s := b.space(t, uint32(i))
			parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(s)
			if err != nil {
				t.Fatal(err)
			}
			area, err := parent.OutPublic.Contents()
			if err != nil {
				t.Fatal(err)
			}
			k := newKey(t, s, false, "secret")
			authSession, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("secret")),
				tpm2.AESEncryption(128, tpm2.EncryptIn), tpm2.Salted(parent.ObjectHandle, *area))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { end() })
			work = append(work, func() {
				if err := k.sign(authSession); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		}
		for range 3 {
			for _, sign := range work {
				sign()
			}
		}
	})
}

func TestCapabilityIsTheClients(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := b.space(t, nobody)
	newKey(t, b.space(t, 0), false, "")
	k := newKey(t, s, false, "")
	capability := func(kind tpm2.TPMCap, property, count uint32) (*tpm2.GetCapabilityResponse, error) {
		return tpm2.GetCapability{Capability: kind, Property: property, PropertyCount: count}.Execute(s)
	}
	r, err := capability(tpm2.TPMCapHandles, 0x80000000, 10)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.CapabilityData.Data.Handles(); err != nil || len(list.Handle) != 1 || list.Handle[0] != k.handle.Handle {
		t.Errorf("own objects: %+v, %v", list, err)
	}
	var codes []uint32
	for next, more := uint32(0), true; more; {
		r, err := capability(tpm2.TPMCapCommands, next, 5)
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.CapabilityData.Data.Command()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.CommandAttributes {
			codes = append(codes, uint32(c.CommandIndex))
		}
		next, more = codes[len(codes)-1]+1, bool(r.MoreData)
	}
	if len(codes) != 13+6 { // that reach the chip, and that the manager answers
		t.Errorf("%d commands in pages of 5: %x", len(codes), codes)
	}
	r, err = capability(tpm2.TPMCapTPMProperties, uint32(tpm2.TPMPTContextGapMax), 1)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.CapabilityData.Data.TPMProperties(); err != nil || list.TPMProperty[0].Value != 0xFFFFFFFF {
		t.Errorf("the context gap as a client sees it: %+v, %v", list, err)
	}
	_, err = capability(tpm2.TPMCapPCRs, 0, 1)
	wantRC(t, "PCRs", err, filter.RCDenied)
}

func TestStorageRootKey(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := b.space(t, nobody)
	read := func() error {
		_, err := tpm2.ReadPublic{ObjectHandle: tpmtest.SRKHandle}.Execute(s)
		return err
	}
	wantRC(t, "read a storage root key that is not there", read(), 0x18B)
	tpmtest.PersistSRK(t, b.recorder)
	if n := b.commands(func() {
		if err := read(); err != nil {
			t.Errorf("read the storage root key: %v", err)
		}
	}); n != 1 {
		t.Errorf("%d commands to read it", n)
	}
	_, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x81010001)}.Execute(s)
	wantRC(t, "read the endorsement key", err, filter.RCDenied)
}

func TestDeniedNeverReachesTheChip(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	var told []string
	s, err := b.Open(rm.Options{UID: nobody, Denied: func(d filter.Decision, code tpm2.TPMCC) { told = append(told, d.Rule+": "+d.Why) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := b.commands(func() {
		_, err := tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}.Execute(s)
		wantRC(t, "clear", err, filter.RCDenied)
		for _, bad := range [][]byte{nil, {0}, bytes.Repeat([]byte{0xff}, 4097)} {
			if response, err := s.Send(bad); err != nil || len(response) != 10 {
				t.Errorf("%d bytes of garbage: %x, %v", len(bad), response, err)
			}
		}
	})
	if n != 0 || len(told) != 4 || told[0] != "TPM2_Clear: would destroy every other user's keys" {
		t.Errorf("%d commands reached the chip; told: %q", n, told)
	}
}

// The lockout budget: keys of other tools work without a limit while their passwords are right, and failures stop long before the chip
// locks.
func TestLockoutBudget(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone) // three tries
	k := newKey(t, b.space(t, nobody), true, "right")
	wrong := func(k key) error { return k.sign(tpm2.PasswordAuth([]byte("wrong"))) }
	k.mustSign(t)
	if n := b.commands(func() { k.mustSign(t) }); n != 1 {
		t.Errorf("%d commands for a password that was right before", n)
	}
	wantRC(t, "the first wrong password", wrong(k), 0x98E)
	for i := range 5 {
		other := newKey(t, b.space(t, uint32(2000+i)), true, "right")
		wantRC(t, "a wrong password of somebody else", wrong(other), 0x000B0921)
		wantRC(t, "a new key's right password", other.sign(tpm2.PasswordAuth([]byte("right"))), 0x000B0921)
	}
	own := newKey(t, b.space(t, nobody), false, "right")
	own.mustSign(t)
	wantRC(t, "a wrong password that nobody counts", wrong(own), 0x9A2)
	newKey(t, b.space(t, 0), true, "right").mustSign(t) // root may
}

func TestSharedChipIsGivenBack(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Shared)
	k := newKey(t, b.space(t, nobody), false, "")
	k.mustSign(t)
	time.Sleep(300 * time.Millisecond)
	if leaks, err := tpmtest.Leaks(b.recorder); err != nil || len(leaks) > 0 {
		t.Errorf("after a pause there is still %x, %v", leaks, err)
	}
	if n := b.commands(func() { k.mustSign(t) }); n != 2 || b.opened != 2 {
		t.Errorf("%d commands for a signature after a pause, chip opened %d times", n, b.opened)
	}
}

// On a chip that others use, a slot stays free at every moment.
func TestSharedChipKeepsASlotFree(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	raw := tpmtest.Dial(t, spec)
	most := 0
	counting := tpmtest.Func(func(command []byte) ([]byte, error) {
		response, err := raw.Send(command)
		if leaks, lerr := tpmtest.Leaks(raw); lerr == nil {
			most = max(most, len(leaks))
		}
		return response, err
	})
	m := rm.New(rm.Config{Sharing: rm.Shared, Open: func() (rm.Chip, error) { return chip{counting}, nil }})
	defer m.Close()
	var keys []key
	for i := range 3 {
		s, err := m.Open(rm.Options{UID: uint32(i)})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, newKey(t, s, false, ""))
	}
	for _, k := range keys {
		k.mustSign(t)
	}
	if most > 2 {
		t.Errorf("%d of three slots were ours at once", most)
	}
}

func TestQuota(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := b.space(t, nobody)
	for range 64 {
		primary(t, s)
	}
	_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(s)
	wantRC(t, "the 65th object", err, 0x000B0902)
	for range 4 {
		if _, _, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16)
	wantRC(t, "the fifth session", err, 0x000B0903)
}
