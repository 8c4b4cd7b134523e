package rm_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A kernel is somebody else on the same chip, with its own key and an HMAC session for each thing that it does. It comes between any two of our commands.
type kernel struct {
	t    testing.TB
	raw  *tpmtest.Conn
	mu   sync.Mutex
	key  tpm2.TPMSContext // of its primary, saved
	name tpm2.TPM2BName
	acts int
}

// newKernel makes the kernel's own primary, and keeps only its saved context.
func newKernel(t testing.TB, raw *tpmtest.Conn) *kernel {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t: t, raw: raw, name: r.Name, key: saveContext(t, raw, r.ObjectHandle)}
	flush(t, raw, r.ObjectHandle)
	return k
}

func saveContext(t testing.TB, raw *tpmtest.Conn, handle tpm2.TPMHandle) tpm2.TPMSContext {
	t.Helper()
	r, err := tpm2.ContextSave{SaveHandle: handle}.Execute(raw)
	if err != nil {
		t.Fatalf("save 0x%x: %v", handle, err)
	}
	return r.Context
}

// useKey loads the key, starts a session, makes something with both, and takes them off: two slots would be too many, one and a loaded session must be free.
func (k *kernel) useKey() (err error) {
	k.acts++
	key, err := tpm2.ContextLoad{Context: k.key}.Execute(k.raw)
	if err != nil {
		return err
	}
	defer tpm2.FlushContext{FlushHandle: key.LoadedHandle}.Execute(k.raw)
	s, end, err := tpm2.HMACSession(k.raw, tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptOut))
	if err != nil {
		return err
	}
	_, err = tpm2.ReadPublic{ObjectHandle: tpm2.NamedHandle{Handle: key.LoadedHandle, Name: k.name}}.Execute(k.raw, s)
	return errors.Join(err, end())
}

// beside is a chip below a manager on which something else happens before some of the commands.
type beside struct {
	raw    *tpmtest.Conn
	before func()
}

func (b beside) Send(command []byte) ([]byte, error) {
	b.before()
	return b.raw.Send(command)
}

// Whatever our clients do, the kernel finds a free slot and a free session at any moment, and gets its work done.
func TestKernelBesideUs(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	stock, k := newStock(t, raw), newKernel(t, raw)
	var failed error
	m := rm.New(rm.Config{Sharing: rm.Shared, Open: func() (rm.Chip, error) {
		return chip{beside{raw, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			if rand.IntN(3) == 0 {
				failed = errors.Join(failed, k.useKey())
			}
		}}}, nil
	}})
	p := &point{TB: t, breaker: &breaker{t: t, raw: raw, m: m}, stock: stock}
	for range 5 {
		p.visitors()
	}
	m.Close()
	if failed != nil || k.acts < 50 {
		t.Errorf("the kernel did %d things: %v", k.acts, failed)
	}
	if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) > 0 {
		t.Errorf("left on the chip: %x, %v", leaks, err)
	}
}

// visitors are four clients who do everything that takes room.
func (p *point) visitors() {
	p.Helper()
	for _, c := range p.arrivals() {
		p.step("sign", c.sign)
		p.step("create", c.make)
		p.step("hash", c.hash)
		p.step("sign in a session", c.signInSession)
		c.space.Close()
	}
}

// foreign is what somebody else has left on the chip.
type foreign struct {
	objects  []tpm2.NamedHandle
	sessions []tpm2.Session
	contexts []tpm2.TPMSContext // of the sessions
}

// leave puts objects and saved sessions on a chip.
func leave(t testing.TB, raw *tpmtest.Conn, objects, sessions int) (f foreign) {
	t.Helper()
	for range objects {
		f.objects = append(f.objects, primary(t, raw))
	}
	for range sessions {
		s := session(t, raw, tpm2.AESEncryption(128, tpm2.EncryptOut))
		f.sessions = append(f.sessions, s)
		f.contexts = append(f.contexts, saveContext(t, raw, s.Handle()))
	}
	return f
}

// works uses everything and takes it off the chip.
func (f foreign) works(t testing.TB, raw *tpmtest.Conn) {
	t.Helper()
	for i, s := range f.sessions {
		if _, err := (tpm2.ContextLoad{Context: f.contexts[i]}).Execute(raw); err != nil {
			t.Errorf("foreign session 0x%x: %v", s.Handle(), err)
			continue
		}
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(raw, s); err != nil {
			t.Errorf("foreign session 0x%x does not work: %v", s.Handle(), err)
		}
		flush(t, raw, s.Handle())
	}
	for _, o := range f.objects {
		r, err := tpm2.ReadPublic{ObjectHandle: o.Handle}.Execute(raw)
		if err != nil || string(r.Name.Buffer) != string(o.Name.Buffer) {
			t.Errorf("foreign object 0x%x: %v", o.Handle, err)
		}
		flush(t, raw, o.Handle)
	}
}

// On a chip that something else has half filled our clients work as ever, and everything foreign is there afterwards.
func TestForeignThingsStay(t *testing.T) {
	for _, row := range []struct {
		name              string
		objects, sessions int
	}{
		{"one object, the same as our primary", 1, 0},
		{"thirty saved sessions", 0, 30},
		{"both", 1, 30},
	} {
		t.Run(row.name, func(t *testing.T) {
			raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
			s := newStock(t, raw)
			f := leave(t, raw, row.objects, row.sessions)
			m := rm.New(rm.Config{Sharing: rm.Shared, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
			p := &point{TB: t, breaker: &breaker{t: t, raw: raw, m: m}, stock: s}
			for range 2 {
				p.visitors()
			}
			time.Sleep(120 * time.Millisecond) // given back
			if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) != row.objects+row.sessions {
				t.Errorf("after a pause there is %x, %v", leaks, err)
			}
			m.Close()
			f.works(t, raw)
			if leaks, err := tpmtest.Leaks(raw); err != nil || len(leaks) > 0 {
				t.Errorf("left on the chip: %x, %v", leaks, err)
			}
		})
	}
}

// Two foreign objects leave one slot, in which a key can be used that needs no other beside it. A full chip is waited for, for a bounded time; then the client
// hears the chip's own code, and once there is room again everything works.
func TestFullChip(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	tpmtest.PersistSRK(t, raw)
	s := newStock(t, raw)
	m := rm.New(rm.Config{Sharing: rm.Shared, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
	defer m.Close()
	var paused time.Duration
	m.SetPause(func(d time.Duration) bool { paused += d; return true })
	p := &point{TB: t, breaker: &breaker{t: t, raw: raw, m: m}, stock: s}
	c := p.client(1)
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	f := leave(t, raw, 1, 0)
	if err := c.sign(); err != nil {
		t.Errorf("beside one foreign object: %v", err)
	}
	time.Sleep(120 * time.Millisecond) // given back
	second := leave(t, raw, 1, 0)
	if err := c.sign(); err != nil {
		t.Errorf("beside two foreign objects: %v", err)
	}
	time.Sleep(120 * time.Millisecond)
	third := leave(t, raw, 1, 0)
	paused = 0
	wantRC(t, "a full chip", c.sign(), tpm2.TPMRCObjectMemory)
	if paused < time.Second || paused > 10*time.Second {
		t.Errorf("waited for %v", paused)
	}
	third.works(t, raw)
	if err := c.sign(); err != nil {
		t.Errorf("after one object is gone: %v", err)
	}
	second.works(t, raw)
	f.works(t, raw)
}
