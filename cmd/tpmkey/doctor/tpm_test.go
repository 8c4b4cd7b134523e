package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// on gives the TPM behind a spec, as the program opens it.
func on(spec string, dirs ...string) TPM {
	return TPM{Open: func() (Device, error) { return device.Open(spec) }, Dirs: dirs}
}

// A fake is a device without a manager.
type fake struct {
	tpmtest.Sender
	managed, boundary bool
}

func (fake) Close() error               { return nil }
func (fake) Spec() string               { return "unix:/nonexistent/chip" }
func (f fake) Managed() bool            { return f.managed }
func (f fake) Boundary() (bool, string) { return f.boundary, "said so" }

func (f fake) tpm() TPM { return TPM{Open: func() (Device, error) { return f, nil }} }

func onChip(chip tpmtest.Sender) *patient {
	return newPatient(context.Background(), fake{Sender: chip}.tpm())
}

// always answers everything with one code.
func always(rc tpm2.TPMRC) tpmtest.Sender {
	return tpmtest.Func(func([]byte) ([]byte, error) {
		return binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 10}, uint32(rc)), nil
	})
}

// bent is a chip that says something else of some properties.
func bent(chip tpmtest.Sender, values map[tpm2.TPMPT]uint32) tpmtest.Sender {
	return tpmtest.Func(func(command []byte) ([]byte, error) {
		response, err := chip.Send(command)
		const kind = 11 // of capability in a response
		if err != nil || binary.BigEndian.Uint32(command[6:]) != uint32(tpm2.TPMCCGetCapability) || len(response) < 19 || binary.BigEndian.Uint32(response[kind:]) != uint32(tpm2.TPMCapTPMProperties) {
			return response, err
		}
		for at := 19; at+8 <= len(response); at += 8 {
			if value, ok := values[tpm2.TPMPT(binary.BigEndian.Uint32(response[at:]))]; ok {
				binary.BigEndian.PutUint32(response[at+4:], value)
			}
		}
		return response, nil
	})
}

// All checks on a good TPM, with a key of it: nothing fails, and nothing stays in the chip or beside the key.
func TestEmulators(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		dir := t.TempDir()
		keys := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
		if _, err := keys.Create("web", provider.Template{PIN: []byte("1234")}); err != nil {
			t.Fatal(err)
		}
		keys.Close()
		before, _ := os.ReadDir(dir)
		tpm := on(spec, dir)
		tpm.Probe = func(context.Context) (string, string, error) { return "", "", nil } // the real one is pkcs11-module's to test
		findings := Run(context.Background(), world{with: named}.machine(t), tpm)
		for i, f := range findings {
			if f.Name != checks[i].name || f.Fact == "" || f.Asks == "" {
				t.Errorf("finding %d is %+v", i, f)
			}
			if checks[i].tpm != nil && f.Status == Fail || strings.Contains(f.Fact, "not checked") {
				t.Errorf("%s: %s", f.Name, f.Fact)
			}
		}
		for name, fact := range map[string]string{"tpm-opens": spec, "keys-load": "1 of 1", "trial-signature": "verifies", "latency": "sign ", "self-test": "in order", "slots": "room for 3"} {
			if got := findings[slices.IndexFunc(findings, func(f Finding) bool { return f.Name == name })]; got.Status != OK || !strings.Contains(got.Fact, fact) {
				t.Errorf("%+v, want %q", got, fact)
			}
		}
		if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
			t.Errorf("%v beside the key, %v", after, err)
		}
		tpmtest.NoLeaks(t, spec)
	})
}

func TestOpens(t *testing.T) {
	gone := newPatient(context.Background(), on("/nonexistent/tpm0"))
	expect(t, opens(gone), Fail, "no such file", "tpm-device")
	if gone.lostBy() == "" {
		t.Error("further checks are made of a TPM that does not open")
	}
	expect(t, opens(onChip(always(tpm2.TPMRCInitialize))), Fail, "TPM_RC_INITIALIZE", "tpm2_startup -c")
	expect(t, opens(onChip(always(tpm2.TPMRCFailure))), Fail, "TPM_RC_FAILURE", "off and on")
	chip := tpmtest.Dial(t, tpmtest.Simulator(t))
	expect(t, opens(onChip(chip)), OK, "own manager", "")
	managed := newPatient(context.Background(), fake{Sender: chip, managed: true}.tpm())
	expect(t, opens(managed), OK, "tpmkeyd's", "")
	hungUp := tpmtest.Func(func([]byte) ([]byte, error) { return nil, errHungUp })
	expect(t, opens(newPatient(context.Background(), fake{Sender: hungUp, managed: true}.tpm())), Fail, "it hung up", "sudo journalctl -u tpmkeyd")
	expect(t, opens(newPatient(context.Background(), fake{Sender: hungUp}.tpm())), Fail, "it hung up", "")
}

// A service that has no chip lets everybody connect, and answers nobody.
func TestServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := serves(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			conn.Close()
		}
	}()
	if err := serves(path); err == nil || !strings.Contains(err.Error(), "tpmkeyd refused this connection or has ended") {
		t.Error(err)
	}
}

func TestBoundary(t *testing.T) {
	see := func(f fake) outcome { return boundary(newPatient(context.Background(), f.tpm())) }
	expect(t, see(fake{managed: true, boundary: true}), OK, "said so", "")
	expect(t, see(fake{}), Warn, "said so", "sudo tpmkeyd -device unix:/nonexistent/chip -listen")
	if os.Getuid() == 0 {
		expect(t, see(fake{managed: true}), OK, "root may anyway", "")
	} else {
		expect(t, see(fake{managed: true}), Warn, "said so", "who-may-open")
	}
}

// braked is a chip with a manager that refuses PINs for so many seconds.
func braked(chip tpmtest.Sender, seconds uint32) tpmtest.Sender {
	return tpmtest.Func(func(command []byte) ([]byte, error) {
		if len(command) < 22 || binary.BigEndian.Uint32(command[14:]) != uint32(propertyBrake) {
			return chip.Send(command)
		}
		response := []byte{0x80, 0x01, 0, 0, 0, 27, 0, 0, 0, 0, 0, 0, 0, 0, byte(tpm2.TPMCapTPMProperties), 0, 0, 0, 1}
		response = binary.BigEndian.AppendUint32(response, uint32(propertyBrake))
		return binary.BigEndian.AppendUint32(response, seconds), nil
	})
}

// What properties say of lockout and passwords.
func TestProperties(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.Simulator(t))
	for _, row := range []struct {
		name      string
		check     func(*patient) outcome
		values    map[tpm2.TPMPT]uint32
		want      Status
		fact, fix string
	}{
		{"many tries", lockout, map[tpm2.TPMPT]uint32{tpm2.TPMPTMaxAuthFail: 32, tpm2.TPMPTLockoutInterval: 600}, OK, "0 of 32 wrong passwords, one is forgiven every 10m0s", ""},
		{"few tries", lockout, map[tpm2.TPMPT]uint32{tpm2.TPMPTMaxAuthFail: 3}, Warn, "0 of 3", "--max-tries=32"},
		{"soon locked", lockout, map[tpm2.TPMPT]uint32{tpm2.TPMPTMaxAuthFail: 32, tpm2.TPMPTLockoutCounter: 20}, Warn, "20 of 32", "--clear-lockout"},
		{"locked", lockout, map[tpm2.TPMPT]uint32{tpm2.TPMPTMaxAuthFail: 32, tpm2.TPMPTPermanent: inLockout, tpm2.TPMPTLockoutInterval: 600}, Fail, "locked", "wait 10m0s"},
		{"no passwords", passwords, map[tpm2.TPMPT]uint32{tpm2.TPMPTPermanent: 0}, OK, "the owner has none, the lockout has none", ""},
		{"of the owner", passwords, map[tpm2.TPMPT]uint32{tpm2.TPMPTPermanent: ownerAuthSet}, Warn, "the owner has a password", "storage-key"},
		{"of lockout", passwords, map[tpm2.TPMPT]uint32{tpm2.TPMPTPermanent: lockoutAuthSet}, OK, "the lockout has a password", ""},
		{"bad firmware", firmware, map[tpm2.TPMPT]uint32{tpm2.TPMPTManufacturer: 0x49465800, tpm2.TPMPTFirmwareVersion1: 7<<16 | 61}, Fail, "firmware 7.61", "7.62 or later"},
		{"unknown firmware", firmware, nil, OK, "firmware", ""},
	} {
		t.Run(row.name, func(t *testing.T) { expect(t, row.check(onChip(bent(chip, row.values))), row.want, row.fact, row.fix) })
	}
	denied := onChip(always(rcDenied))
	for _, check := range []func(*patient) outcome{lockout, passwords, firmware, hashes, keySizes} {
		expect(t, check(denied), OK, "the filter keeps this", "")
	}
	expect(t, lockout(onChip(braked(chip, 240))), Fail, "refuses this user's PINs for 4m0s yet, the right ones too", "wait 4m0s")
	expect(t, lockout(onChip(bent(braked(chip, 0), map[tpm2.TPMPT]uint32{tpm2.TPMPTMaxAuthFail: 32}))), OK, "0 of 32", "")
	broken := onChip(always(tpm2.TPMRCFailure))
	for _, check := range []func(*patient) outcome{lockout, passwords, firmware, hashes, keySizes, selfTest} {
		if o := check(broken); o.Status != Fail {
			t.Errorf("a broken TPM: %+v", o)
		}
	}
}

func TestFirmware(t *testing.T) {
	for _, row := range []struct {
		maker string
		is    release
		want  Status
		fix   string
	}{
		{"IFX", release{5, 61}, Fail, "5.62"}, {"IFX", release{5, 62}, OK, ""}, {"IFX", release{5, 0}, Fail, "5.62"},
		{"IFX", release{7, 61}, Fail, "7.62"}, {"IFX", release{7, 83}, OK, ""}, {"IFX", release{15, 23}, OK, ""},
		{"STM", release{71, 12}, Warn, "71.16"}, {"STM", release{71, 16}, OK, ""}, {"STM", release{73, 8}, Warn, "73.64"},
		{"STM", release{73, 5}, Warn, "73.21"}, {"STM", release{73, 64}, OK, ""}, {"STM", release{74, 16}, Warn, "74.64"}, {"INTC", release{7, 61}, OK, ""},
	} {
		if o := (Chip{row.maker, "model", row.is}).judge(); o.Status != row.want || !strings.Contains(o.fix, row.fix) || !strings.Contains(o.fact, row.is.String()) {
			t.Errorf("%s %v: %+v", row.maker, row.is, o)
		}
	}
}

// Chips that do things in their own way, from the trial signature on.
func TestTrialChecks(t *testing.T) {
	for _, row := range []struct {
		name string
		chip tpmtest.Sender
		want map[string]string // by check: the status, and what the fact says
	}{
		{"good", &tpmtest.RSAChip{}, map[string]string{"trial-signature": "ok:crypto/rsa verifies", "raw-rsa": "ok:", "pss-salt": "ok:32 bytes with SHA-256, as TLS 1.3 wants it", "latency": "ok:create"}},
		{"longest salt", &tpmtest.RSAChip{LongestSalt: true}, map[string]string{"trial-signature": "ok:", "pss-salt": "ok:222 bytes with SHA-256; tpmkey pads in software"}},
		{"no raw RSA", &tpmtest.RSAChip{NoRaw: true}, map[string]string{"trial-signature": "ok:", "raw-rsa": "warn:it does not", "pss-salt": "ok:32 bytes"}},
		{"no TLS 1.3", &tpmtest.RSAChip{NoRaw: true, LongestSalt: true}, map[string]string{"trial-signature": "fail:RSASSA-PSS", "pss-salt": "fail:no TLS 1.3"}},
		{"no SHA-256", &tpmtest.RSAChip{Lacks: []tpm2.TPMAlgID{tpm2.TPMAlgSHA256}}, map[string]string{"trial-signature": "ok:", "pss-salt": "ok:by itself it does not sign with PSS"}},
		{"denied", always(rcDenied), map[string]string{"trial-signature": "fail:filter", "raw-rsa": "warn:no trial key", "pss-salt": "warn:no trial key", "latency": "warn:no trial key"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := onChip(row.chip)
			for _, c := range checks[slices.IndexFunc(checks, func(c check) bool { return c.name == "trial-signature" }):] {
				want, wanted := row.want[c.name]
				if c.tpm == nil || !wanted && c.name != "raw-rsa" {
					continue
				}
				o := p.examine(c)
				if status, fact, _ := strings.Cut(want, ":"); wanted && (o.Status.String() != status || !strings.Contains(o.fact, fact)) {
					t.Errorf("%s: %v, %q; want %q", c.name, o.Status, o.fact, want)
				}
			}
		})
	}
}

func TestSizesAndHashes(t *testing.T) {
	expect(t, keySizes(onChip(&tpmtest.RSAChip{})), OK, "RSA 2048, 3072, 4096", "")
	expect(t, keySizes(onChip(&tpmtest.RSAChip{Sizes: []int{2048}})), OK, "RSA 2048", "")
	expect(t, keySizes(onChip(&tpmtest.RSAChip{Sizes: []int{1024}})), Fail, "no RSA keys", "")
	chip := tpmtest.Dial(t, tpmtest.Simulator(t))
	expect(t, hashes(onChip(chip)), OK, "SHA-256", "")
	expect(t, hashes(onChip(without(chip, tpm2.TPMAlgSHA512))), OK, "not SHA-512", "")
	expect(t, hashes(onChip(without(chip, tpm2.TPMAlgSHA256, tpm2.TPMAlgSHA384, tpm2.TPMAlgSHA512))), Fail, "it has none of SHA-256", "")
}

// without is a chip that does not know some algorithms: asked for one, it names the next.
func without(chip tpmtest.Sender, lacks ...tpm2.TPMAlgID) tpmtest.Sender {
	return tpmtest.Func(func(command []byte) ([]byte, error) {
		property := len(command) - 8
		if binary.BigEndian.Uint32(command[6:]) == uint32(tpm2.TPMCCGetCapability) && slices.Contains(lacks, tpm2.TPMAlgID(binary.BigEndian.Uint32(command[property:]))) {
			command = slices.Clone(command)
			binary.BigEndian.PutUint32(command[property:], uint32(tpm2.TPMAlgRSAPSS))
		}
		return chip.Send(command)
	})
}

// What GetTestResult says, which go-tpm does not read.
func TestTestResult(t *testing.T) {
	result := func(rc tpm2.TPMRC) tpmtest.Sender {
		return tpmtest.Func(func([]byte) ([]byte, error) {
			return binary.BigEndian.AppendUint32([]byte{0x80, 0x01, 0, 0, 0, 18, 0, 0, 0, 0, 0, 2, 'x', 'y'}, uint32(rc)), nil
		})
	}
	expect(t, testResult(result(tpm2.TPMRCSuccess)), OK, "all of it", "")
	expect(t, testResult(result(tpm2.TPMRCNeedsTest)), OK, "the rest is tested", "")
	expect(t, testResult(result(tpm2.TPMRCFailure)), Fail, "TPM_RC_FAILURE", "off and on")
	expect(t, testResult(always(tpm2.TPMRCCommandCode)), Warn, "does not give", "")
}

// What others have left in the chip.
func TestLeftovers(t *testing.T) {
	spec := tpmtest.Simulator(t)
	chip := tpmtest.Dial(t, spec)
	expect(t, leftovers(chip), OK, "room for 3 objects", "")
	if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tpm2.HMACSession(chip, tpm2.TPMAlgSHA256, 16); err != nil {
		t.Fatal(err)
	}
	expect(t, leftovers(chip), Warn, "1 object and 1 loaded session in it", "tpm2_flushcontext --loaded-session")
	o, seen := newPatient(context.Background(), on(spec)).raw(leftovers)
	expect(t, o, Warn, "1 object ", "--transient-object")
	if o, seen2 := onChip(chip).raw(leftovers); !seen || seen2 || o.Status != OK || !strings.Contains(o.fact, "not to be seen") {
		t.Errorf("%v, %v, %+v", seen, seen2, o)
	}
}

func TestRawSpec(t *testing.T) {
	for _, row := range []struct {
		spec    string
		managed bool
		want    string
	}{{"/dev/tpmrm0", false, "/dev/tpm0"}, {"/dev/tpm1", false, "/dev/tpm1"}, {"broker:/x", true, "/dev/tpm0"}, {"unix:/x", false, "unix:/x"}} {
		if got := rawSpec(row.spec, row.managed); got != row.want {
			t.Errorf("%s: %s", row.spec, got)
		}
	}
}

// What is persistent at 0x81000001, and what the owner's password has to do with it.
func TestStorageKey(t *testing.T) {
	look := func(t *testing.T, spec string) outcome {
		p := newPatient(context.Background(), on(spec))
		trialSignature(p)
		return storageKey(p)
	}
	t.Run("none", func(t *testing.T) {
		expect(t, look(t, tpmtest.Simulator(t)), OK, "nothing is persistent", "")
	})
	t.Run("standard", func(t *testing.T) {
		spec := tpmtest.Simulator(t)
		tpmtest.PersistSRK(t, tpmtest.Dial(t, spec))
		expect(t, look(t, spec), OK, "a storage key (ECC) is persistent at 0x81000001; it works without a password", "")
	})
	t.Run("the owner's password", func(t *testing.T) {
		spec := tpmtest.Simulator(t)
		_, err := tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte("secret")}}.Execute(tpmtest.Dial(t, spec))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, look(t, spec), Fail, "needs the owner's password", "tpm2_evictcontrol")
	})
	t.Run("not for storage", func(t *testing.T) {
		expect(t, describeStorage(tpmtest.RSATemplate()), Warn, "no storage key", "tpm2_evictcontrol")
	})
	t.Run("RSA", func(t *testing.T) { expect(t, describeStorage(tpm2.RSASRKTemplate), OK, "(RSA)", "") })
}

// A key of another TPM is lost, and a damaged one is not whole.
func TestKeysLoad(t *testing.T) {
	spec, dir := tpmtest.Simulator(t), t.TempDir()
	keys := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	if _, err := keys.Create("web", provider.Template{}); err != nil {
		t.Fatal(err)
	}
	keys.Close()
	expect(t, keysLoad(newPatient(context.Background(), on(spec, dir))), OK, "1 of 1", "")
	expect(t, keysLoad(newPatient(context.Background(), on(spec, t.TempDir()))), OK, "there are none", "")
	expect(t, keysLoad(newPatient(context.Background(), on(tpmtest.SWTPM(t), dir))), Fail, "belongs to another TPM", "use the TPM in which it was made")
	keys = provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	for _, name := range []string{"a", "b", "c", "d"} {
		if _, err := keys.Create(name, provider.Template{}); err != nil {
			t.Fatal(err)
		}
	}
	keys.Close()
	o := keysLoad(newPatient(context.Background(), on(tpmtest.SWTPM(t), dir)))
	expect(t, o, Fail, "5 keys do not load (a, b, c and 2 others): the key belongs to another TPM, or this one was cleared", "use the TPM in which it was made")
	if strings.Count(o.fact, "belongs to") != 1 || strings.Count(o.fix, "lost") != 1 || strings.Contains(o.fix, "delete") {
		t.Errorf("%+v", o)
	}
	_, file := softwareKey(t)
	if err := os.WriteFile(dir+"/other.pem", file, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, keysLoad(newPatient(context.Background(), on(spec, dir))), Fail, `"other"`, "bring it back from a backup")
}

func TestRating(t *testing.T) {
	times := func(ms map[string][]int) func(operation) []time.Duration {
		return func(o operation) (took []time.Duration) {
			for _, n := range ms[o.name] {
				took = append(took, time.Duration(n)*time.Millisecond)
			}
			return took
		}
	}
	expect(t, rating(times(map[string][]int{"create": {300, 200, 9000}, "load": {20}, "sign": {5, 6, 7}, "parent": {4}})), OK,
		"create 300 ms (fast, median of 3), load 20 ms (fast, median of 1), sign 6.0 ms (fast, median of 3), parent 4.0 ms (fast, median of 1)", "")
	expect(t, rating(times(map[string][]int{"create": {7455}, "load": {100}, "sign": {163}, "parent": {231}})), OK,
		"create 7.5 s (usual, median of 1), load 100 ms (usual, median of 1), sign 163 ms (usual, median of 1), parent 231 ms (usual, median of 1)", "")
	expect(t, rating(times(map[string][]int{"sign": {300}, "parent": {8700}})), Warn, "sign 300 ms (slow, median of 1), parent 8.7 s (slow", "tpm2_evictcontrol")
}

// The parent that is persistent is read, and that is what its time means then.
func TestTimesOfParent(t *testing.T) {
	p := newPatient(context.Background(), TPM{})
	parent := operations[len(operations)-1]
	p.note(tpm2.TPMCCReadPublic, time.Second)
	if got := p.timesOf(parent); !slices.Equal(got, []time.Duration{time.Second}) {
		t.Error(got)
	}
	p.note(tpm2.TPMCCCreatePrimary, time.Minute)
	if got := p.timesOf(parent); !slices.Equal(got, []time.Duration{time.Minute}) {
		t.Error(got)
	}
}

var errGone = errors.New("gone")

// A chip that goes away in the middle fails the check, and the next one asks again.
func TestVanishingTPM(t *testing.T) {
	p := onChip(tpmtest.Func(func([]byte) ([]byte, error) { return nil, errGone }))
	for _, check := range []func(*patient) outcome{lockout, hashes, keySizes, trialSignature, selfTest} {
		if o := check(p); o.Status != Fail || !strings.Contains(o.fact, "gone") {
			t.Errorf("%+v", o)
		}
	}
}
