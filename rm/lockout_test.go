package rm_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// One connection to a chip that a manager and a third party share.
type shared struct {
	mu sync.Mutex
	tpmtest.Sender
}

func (s *shared) Send(command []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Sender.Send(command)
}

// resetLockout forgives the failures, and has the chip lock after so many, and heal by none while the test runs.
func resetLockout(t *testing.T, raw transport.TPM, tries uint32) {
	t.Helper()
	asLockout(t, raw, tpm2.TPMCCDictionaryAttackLockReset)
	asLockout(t, raw, tpm2.TPMCCDictionaryAttackParameters, tries, 7200, 7200) // Part 3, 25.3
}

// asLockout sends a command with the empty password of the lockout hierarchy.
func asLockout(t *testing.T, raw transport.TPM, code tpm2.TPMCC, parameters ...uint32) {
	t.Helper()
	m := wire.NewMessage(tpm2.TPMSTSessions, uint32(code)).Uint32(uint32(tpm2.TPMRHLockout)).Uint32(9).Uint32(wire.RSPassword).Uint16(0).Uint8(0).Uint16(0)
	for _, p := range parameters {
		m.Uint32(p)
	}
	if response, err := raw.Send(m.Bytes()); err != nil || len(response) == wire.HeaderSize {
		t.Fatalf("command 0x%x: %x, %v", uint32(code), response, err)
	}
}

func lockoutCounter(t testing.TB, raw transport.TPM) (failed uint32) {
	t.Helper()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter), PropertyCount: 1}.Execute(raw)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.CapabilityData.Data.TPMProperties()
	if err != nil {
		t.Fatal(err)
	}
	return list.TPMProperty[0].Value
}

// attacks are the ways to fail with a key or a parent that the chip counts for.
var attacks = map[string]func(k key, parent tpm2.AuthHandle) error{
	"sign": func(k key, _ tpm2.AuthHandle) error { return k.try("wrong") },
	"sign in a session": func(k key, _ tpm2.AuthHandle) error {
		auth, end, err := tpm2.HMACSession(k.tpm, tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("wrong")))
		if err != nil {
			return err
		}
		defer end()
		return k.sign(auth)
	},
	"decrypt": func(k key, _ tpm2.AuthHandle) error {
		_, err := tpm2.RSADecrypt{KeyHandle: tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
			CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: make([]byte, 256)}}.Execute(k.tpm)
		return err
	},
	"change the PIN": func(k key, parent tpm2.AuthHandle) error {
		_, err := tpm2.ObjectChangeAuth{ObjectHandle: tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))},
			ParentHandle: tpm2.NamedHandle{Handle: parent.Handle, Name: parent.Name}, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("new")}}.Execute(k.tpm)
		return err
	},
	"create": func(k key, parent tpm2.AuthHandle) error { return create(k.tpm, parent) },
}

// Two primaries of one template with different passwords have one Name: that of the one was right before, and is wrong for the other all the same.
func TestPasswordsOfPrimariesAreNotConfused(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t)) // three tries, of which one may be used
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
	defer m.Close()
	s, err := m.Open(rm.Options{UID: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var wrong []tpm2.AuthHandle
	for _, hierarchy := range []tpm2.TPMHandle{tpm2.TPMRHNull, tpm2.TPMRHOwner} {
		for _, password := range []string{"one", "two"} {
			area := tpm2.ECCSRKTemplate
			area.ObjectAttributes.NoDA = false
			r, err := tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(area), InSensitive: tpm2.TPM2BSensitiveCreate{
				Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(password)}}}}.Execute(s)
			if err != nil {
				t.Fatal(err)
			}
			h := tpm2.AuthHandle{Handle: r.ObjectHandle, Name: r.Name, Auth: tpm2.PasswordAuth([]byte("one"))}
			if password == "one" {
				if err := create(s, h); err != nil {
					t.Fatal(err)
				}
			} else {
				wrong = append(wrong, h)
			}
		}
	}
	wantRC(t, "a wrong password", create(s, wrong[0]), 0x98E)
	wantRC(t, "another", create(s, wrong[1]), refused)
}

func create(tpm transport.TPM, parent tpm2.AuthHandle) error {
	_, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(template(false))}.Execute(tpm)
	return err
}

// Many users at once, by every command that the filter lets through, beside somebody on the raw chip who fails too: the chip is not locked, whatever it takes to
// lock it, and a key that nothing is counted for works all the while.
func TestNobodyLocksTheChip(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		raw := &shared{Sender: tpmtest.Dial(t, spec)}
		f := makeFiles(t, raw, true, "right")
		third := f.persist(t, raw)
		for _, tries := range []uint32{1, 2, 3, 8, 32} {
			t.Run(fmt.Sprintf("%d tries", tries), func(t *testing.T) {
				resetLockout(t, raw, tries)
				attackTheChip(t, raw, f, third, tries)
			})
		}
	})
}

func attackTheChip(t *testing.T, raw *shared, f files, third key, tries uint32) {
	m := rm.New(rm.Config{Sharing: rm.Shared, Open: func() (rm.Chip, error) { return chip{raw}, nil }})
	defer m.Close()
	open := func(uid uint32) *rm.Space {
		s, err := m.Open(rm.Options{UID: uid})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	victim := newKey(t, open(1), false, "")
	counted := atomic.Int32{}
	var group sync.WaitGroup
	uid := uint32(1000)
	for name, attack := range attacks {
		for range 4 {
			uid++
			s := open(uid)
			k, parent := f.load(t, s), daParent(t, s)
			group.Go(func() {
				for range 3 {
					if err := attack(k, parent); isAuthFail(err) {
						counted.Add(1)
					} else if err == nil {
						t.Errorf("%s: a wrong password is right", name)
					}
				}
			})
		}
	}
	beside := 0
	group.Go(func() { beside = failBeside(t, raw, third, tries) })
	for range 20 {
		victim.mustSign(t)
	}
	group.Wait()
	failed := lockoutCounter(t, raw)
	t.Logf("%d attackers: %d of their failures were counted, %d of a third party, %d in all; %d lock the chip", 4*len(attacks), counted.Load(), beside, failed, tries)
	if failed >= tries || tries > 2 && counted.Load()+int32(beside) == 0 || counted.Load() > int32(max(1, tries/4)) {
		t.Errorf("the chip counts %d failures of %d, %d of them ours", failed, tries, counted.Load())
	}
	victim.mustSign(t)
}

func isAuthFail(err error) bool {
	rc, ok := err.(tpm2.TPMRC)
	return ok && rc&0xBF == tpm2.TPMRCAuthFail
}

// daParent is a storage primary that the chip counts failures of, with its password, which is wrong.
func daParent(t *testing.T, tpm transport.TPM) tpm2.AuthHandle {
	t.Helper()
	area := tpmtest.SRKTemplate()
	area.ObjectAttributes.NoDA = false
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(area)}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.AuthHandle{Handle: r.ObjectHandle, Name: r.Name, Auth: tpm2.PasswordAuth([]byte("wrong"))}
}

// failBeside is somebody on the raw chip who fails too, and leaves two tries. It reports how often.
func failBeside(t *testing.T, raw *shared, k key, tries uint32) (failed int) {
	for range 12 {
		if lockoutCounter(t, raw)+3 <= tries && isAuthFail(k.try("wrong")) {
			failed++
		}
	}
	return failed
}

// persist puts a key on the raw chip for good, so that it can be used in the one slot that a manager leaves free.
func (f files) persist(t *testing.T, raw *shared) key {
	t.Helper()
	const at = 0x81000077
	k := f.load(t, raw)
	if _, err := (tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: &k.handle, PersistentHandle: at}).Execute(raw); err != nil {
		t.Fatal(err)
	}
	handles, err := tpmtest.Leaks(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range handles {
		flush(t, raw, h)
	}
	k.handle.Handle = at
	return k
}
