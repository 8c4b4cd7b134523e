package rm_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

const refused = tpm2.TPMRC(0x000B0921)

// files are what a key is kept in, for others to load it too.
type files struct {
	private tpm2.TPM2BPrivate
	public  tpm2.TPM2BPublic
}

func makeFiles(t *testing.T, tpm transport.TPM, da bool, auth string) files {
	t.Helper()
	return createBelow(t, tpm, primary(t, tpm), da, auth)
}

func createBelow(t testing.TB, tpm transport.TPM, parent tpm2.NamedHandle, da bool, auth string) files {
	t.Helper()
	r, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(template(da)), InSensitive: tpm2.TPM2BSensitiveCreate{
		Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(auth)}}}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return files{r.OutPrivate, r.OutPublic}
}

func (f files) load(t *testing.T, tpm transport.TPM) key {
	t.Helper()
	return load(t, tpm, primary(t, tpm), f.private, f.public)
}

func (k key) try(password string) error { return k.sign(tpm2.PasswordAuth([]byte(password))) }

// Guesses at a key: five at once, then one a second, then none for minutes. The one whose key it is has other keys meanwhile, and so have others.
func TestBrakeOfAPrincipal(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	clock := b.SetClock()
	s := b.space(t, 1000)
	k, free, braked := newKey(t, s, false, "right"), newKey(t, s, false, ""), newKey(t, s, false, "another")
	for i := range 20 {
		wantRC(t, "a guess", k.try("wrong"), 0x9A2)
		if waited := clock.Waited(); waited != 0 && i < 5 || waited != time.Second && i >= 5 {
			t.Errorf("guess %d waited for %v", i+1, waited)
		}
	}
	if n := b.commands(func() {
		wantRC(t, "the 21st guess", k.try("wrong"), refused)
		wantRC(t, "the right PIN", k.try("right"), refused)
		wantRefusalLeft(t, s, 5*60)
		wantRefusalLeft(t, b.space(t, 1000), 5*60) // who has not tried yet
		wantRC(t, "the same user's other key", braked.try("another"), refused)
	}); n != 0 {
		t.Errorf("%d commands reached the chip", n)
	}
	free.mustSign(t)
	wantRefusalLeft(t, b.space(t, 1001), 0)
	newKey(t, b.space(t, 1001), false, "his").mustSign(t)
	clock.Advance(5*time.Minute + time.Second)
	wantRefusalLeft(t, b.space(t, 1000), 0)
	if err := k.try("right"); err != nil {
		t.Errorf("the right PIN after the brake: %v", err)
	}
	wantRC(t, "one more guess", k.try("wrong"), 0x9A2)
	wantRC(t, "and another", k.try("wrong"), refused)
	clock.Advance(24 * time.Hour)
	clock.Waited()
	wantRC(t, "a guess a day later", k.try("wrong"), 0x9A2)
	if waited := clock.Waited(); waited != 0 {
		t.Errorf("a guess a day later waited for %v", waited)
	}
}

// wantRefusalLeft asks a manager for how many seconds its brake holds.
func wantRefusalLeft(t *testing.T, tpm transport.TPM, want uint32) {
	t.Helper()
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(refused), PropertyCount: 1}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	properties, err := r.CapabilityData.Data.TPMProperties()
	if err != nil || len(properties.TPMProperty) != 1 || properties.TPMProperty[0] != (tpm2.TPMSTaggedProperty{Property: tpm2.TPMPT(refused), Value: want}) {
		t.Errorf("%v, %v; want %d s left", properties, err, want)
	}
}

// A key that many users guess at is refused to all of them, until one gives the right PIN after the brake.
func TestBrakeOfAKey(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	clock := b.SetClock()
	f := makeFiles(t, b.space(t, 1), false, "right")
	for uid := range uint32(20) {
		wantRC(t, "a guess", f.load(t, b.space(t, 1000+uid)).try("wrong"), 0x9A2)
	}
	owner := f.load(t, b.space(t, 1))
	wantRC(t, "the 21st user's right PIN", owner.try("right"), refused)
	newKey(t, b.space(t, 1), false, "other").mustSign(t)
	clock.Advance(5*time.Minute + time.Second)
	clock.Waited()
	for _, pin := range []string{"right", "wrong", "right"} { // the right one takes the brake off
		if err := owner.try(pin); err != nil && pin == "right" {
			t.Errorf("the right PIN: %v", err)
		}
	}
	if waited := clock.Waited(); waited != 0 {
		t.Errorf("waited for %v after the right PIN", waited)
	}
}

// Nobody can keep others from the storage root key by failing with it.
func TestStorageRootKeyHasNoBrake(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	b.SetClock()
	tpmtest.PersistSRK(t, b.recorder)
	srk, err := tpm2.ReadPublic{ObjectHandle: tpmtest.SRKHandle}.Execute(b.space(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	create := func(tpm transport.TPM, password string) error {
		return create(tpm, tpm2.AuthHandle{Handle: tpmtest.SRKHandle, Name: srk.Name, Auth: tpm2.PasswordAuth([]byte(password))})
	}
	for uid := range uint32(3) {
		s := b.space(t, 1000+uid)
		for range 20 {
			wantRC(t, "a wrong password of the storage root key", create(s, "wrong"), 0x9A2)
		}
		wantRC(t, "one more", create(s, "wrong"), refused)
	}
	if err := create(b.space(t, 1000), ""); err != nil {
		t.Errorf("one who has failed, with the right password: %v", err)
	}
	if err := create(b.space(t, 2000), ""); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

// Guesses at the owner's password: three an hour of each user, twenty of all. Who has no password to give is not concerned.
func TestBrakeOfAHierarchy(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	clock := b.SetClock()
	guess := func(uid uint32, password string) error {
		_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth([]byte(password))},
			InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(b.space(t, uid))
		return err
	}
	for range 3 {
		wantRC(t, "a guess", guess(1000, "wrong"), 0x9A2)
	}
	wantRC(t, "the fourth within an hour", guess(1000, "wrong"), refused)
	for i := range uint32(17) {
		wantRC(t, "others' guesses", guess(1001+i/3, "wrong"), 0x9A2)
	}
	wantRC(t, "the 21st of all", guess(2000, "wrong"), refused)
	if err := guess(2000, ""); err != nil {
		t.Errorf("the empty password: %v", err)
	}
	wantRC(t, "root's guess", guess(0, "wrong"), 0x9A2)
	clock.Advance(time.Hour)
	wantRC(t, "a guess an hour later", guess(2000, "wrong"), 0x9A2)
}

// Wrong HMACs are guesses too, and what they teach about a key is forgotten with nothing but time, whoever runs the manager.
func TestMemoryOutlivesTheManager(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	raw := tpmtest.Dial(t, spec)
	var saved []byte
	run := func(work func(m *rm.Manager)) {
		var memory rm.Memory
		if saved != nil {
			if err := json.Unmarshal(saved, &memory); err != nil {
				t.Fatal(err)
			}
		}
		m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{raw}, nil }, Memory: memory, Remember: func(now rm.Memory) {
			var err error
			if saved, err = json.Marshal(now); err != nil {
				t.Error(err)
			}
		}})
		defer m.Close()
		m.SetClock()
		work(m)
	}
	open := func(m *rm.Manager, uid uint32) *rm.Space {
		s, err := m.Open(rm.Options{UID: uid})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var f, da files
	run(func(m *rm.Manager) {
		f, da = makeFiles(t, open(m, 1), false, "right"), makeFiles(t, open(m, 1), true, "right")
		s := open(m, 1000)
		k := f.load(t, s)
		for range 20 {
			auth, end, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16, tpm2.Auth([]byte("wrong")))
			if err != nil {
				t.Fatal(err)
			}
			wantRC(t, "a wrong HMAC", k.sign(auth), 0x9A2)
			end()
		}
		wantRC(t, "a wrong password of a DA key", da.load(t, open(m, 1001)).try("wrong"), 0x98E)
	})
	run(func(m *rm.Manager) {
		wantRC(t, "the same user after a restart", newKey(t, open(m, 1000), false, "his").try("his"), refused)
		wantRC(t, "the same key after a restart", f.load(t, open(m, 1)).try("right"), refused)
		wantRC(t, "the one who failed with a DA key", da.load(t, open(m, 1001)).try("right"), refused)
	})
}

// A memory that says nonsense, or comes from a clock that was wrong, does not bind anybody for longer than a true one.
func TestMemoryFromAWrongClock(t *testing.T) {
	later := time.Now().Add(1000 * time.Hour)
	bad := rm.Brake{Failures: 20, Last: later}
	b := &bench{recorder: tpmtest.Record(tpmtest.Dial(t, tpmtest.SWTPM(t)))}
	b.Manager = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{b.recorder}, nil }, Memory: rm.Memory{
		Principals: map[uint32]*rm.Brake{1: &bad, 2: nil, 3: {Failures: -5}}, Everybody: bad, Lockout: map[uint32]time.Time{1: later}}})
	defer b.Close()
	clock := b.SetClock()
	clock.Advance(24*time.Hour + time.Second)
	newKey(t, b.space(t, 1), false, "pin").mustSign(t)
	newKey(t, b.space(t, 1), true, "pin").mustSign(t)
	k := newKey(t, b.space(t, 3), false, "pin")
	for range 5 {
		wantRC(t, "a guess", k.try("wrong"), 0x9A2)
	}
	if waited := clock.Waited(); waited != 0 {
		t.Errorf("waited for %v", waited)
	}
}

// The uids of one user have one set of brakes, quotas and turns.
func TestPrincipalsOfLentUids(t *testing.T) {
	b := &bench{recorder: tpmtest.Record(tpmtest.Dial(t, tpmtest.SWTPM(t)))}
	b.Manager = rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return chip{b.recorder}, nil },
		PrincipalOf: func(uid uint32) uint32 {
			if uid >= 100000 {
				return 1000
			}
			return 0 // nobody becomes root like this
		}})
	defer b.Close()
	b.SetClock()
	k := newKey(t, b.space(t, 1), false, "right")
	var keys []files // one would have a brake of its own
	for range 3 {
		keys = append(keys, makeFiles(t, b.space(t, 2), false, "right"))
	}
	for i := range 20 {
		wantRC(t, "a guess", keys[i%2].load(t, b.space(t, uint32(100000+i))).try("wrong"), 0x9A2)
	}
	wantRC(t, "the user himself", keys[2].load(t, b.space(t, 1000)).try("right"), refused)
	k.mustSign(t)
	for range 20 {
		wantRC(t, "a guess", k.try("wrong"), 0x9A2)
	}
	wantRC(t, "one who would be root", k.try("right"), refused)
}
