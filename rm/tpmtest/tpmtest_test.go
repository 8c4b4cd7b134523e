package tpmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// trial is a test that fails without failing this one.
type trial struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (t *trial) Helper()                   {}
func (t *trial) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *trial) Error(args ...any)         { t.errors = append(t.errors, fmt.Sprint(args...)) }
func (t *trial) Errorf(f string, a ...any) { t.errors = append(t.errors, fmt.Sprintf(f, a...)) }
func (t *trial) Failed() bool              { return len(t.errors) > 0 }
func (t *trial) Skipped() bool             { return false }
func (t *trial) Fatal(args ...any)         { t.Error(args...); panic(t) }
func (t *trial) Fatalf(f string, a ...any) { t.Errorf(f, a...); panic(t) }
func (t *trial) Skip(args ...any)          { t.Error("skip"); panic(t) }

// try runs body as a test of its own and returns how it failed.
func try(t *testing.T, body func(t testing.TB)) (failures string) {
	inner := &trial{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(inner) {
			panic(r)
		}
		for _, f := range slices.Backward(inner.cleanups) {
			f()
		}
		failures = strings.Join(inner.errors, "\n")
	}()
	body(inner)
	return ""
}

// getRandom is TPM2_GetRandom of 4 bytes, Part 3, 16.1.
var getRandom = []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 4}

// createPrimary leaves a transient storage key on the chip.
func createPrimary(t testing.TB, tpm Sender) *tpm2.CreatePrimaryResponse {
	t.Helper()
	response, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.TPMRHOwner,
		InPublic:      tpm2.New2B(SRKTemplate()),
	}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestEmulatorsAnswer(t *testing.T) {
	Emulators(t, func(t *testing.T, spec string) {
		response, err := Dial(t, spec).Send(getRandom)
		if err != nil || code(response) != 0 || len(response) != 16 {
			t.Errorf("response %x, error %v", response, err)
		}
	})
}

func TestEmulatorLeavesNothing(t *testing.T) {
	var specs []string
	t.Run("started", func(t *testing.T) {
		Emulators(t, func(t *testing.T, spec string) { specs = append(specs, spec) })
	})
	for _, spec := range specs {
		dir := filepath.Dir(strings.TrimPrefix(spec, "unix:"))
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", dir, err)
		}
	}
}

func TestStartOfWhatEnds(t *testing.T) {
	command := exec.Command("sh", "-c", "echo no chip here >&2; exit 1")
	got := try(t, func(t testing.TB) { Start(t, command, Listens("/nowhere")) })
	if !strings.Contains(got, "no chip here") {
		t.Errorf("failure %q", got)
	}
}

func TestPowerCycle(t *testing.T) {
	spec := SWTPM(t)
	c := Dial(t, spec)
	createPrimary(t, c)
	PowerCycle(t, spec)
	response, err := c.Send(getRandom)
	if err != nil || tpm2.TPMRC(code(response)) != tpm2.TPMRCInitialize {
		t.Errorf("before startup: response %x, error %v", response, err)
	}
	Startup(t, c)
	c.Close()
	NoLeaks(t, spec)
}

func TestNoLeaks(t *testing.T) {
	Emulators(t, func(t *testing.T, spec string) {
		c := Dial(t, spec)
		primary := createPrimary(t, c)
		_, _, err := tpm2.HMACSession(c, tpm2.TPMAlgSHA256, 16)
		if err != nil {
			t.Fatal(err)
		}
		c.Close() // the chip remembers nobody: object and session stay
		failures := try(t, func(t testing.TB) { NoLeaks(t, spec) })
		for _, handle := range []string{"0x80000000", "0x2000000"} {
			if !strings.Contains(failures, handle) {
				t.Errorf("leak of %s not reported: %s", handle, failures)
			}
		}
		c = Dial(t, spec)
		for _, handle := range []tpm2.TPMHandle{primary.ObjectHandle, 0x02000000} {
			if _, err := (tpm2.FlushContext{FlushHandle: handle}).Execute(c); err != nil {
				t.Error(err)
			}
		}
		c.Close()
		NoLeaks(t, spec)
	})
}

func TestPersistSRK(t *testing.T) {
	Emulators(t, func(t *testing.T, spec string) {
		c := Dial(t, spec)
		PersistSRK(t, c)
		public, err := tpm2.ReadPublic{ObjectHandle: SRKHandle}.Execute(c)
		if err != nil {
			t.Fatal(err)
		}
		if again := createPrimary(t, c); string(again.Name.Buffer) != string(public.Name.Buffer) {
			t.Error("the persistent key is not the standard storage primary")
		}
	})
}

func TestMissing(t *testing.T) {
	t.Setenv("CI", "")
	if got := try(t, func(t testing.TB) { Need(t, "no-such-program") }); got != "skip" {
		t.Errorf("on a developer's machine: %q", got)
	}
	t.Setenv("CI", "true")
	if got := try(t, func(t testing.TB) { Need(t, "no-such-program") }); !strings.Contains(got, "no-such-program") {
		t.Errorf("on CI: %q", got)
	}
}

func TestRecorder(t *testing.T) {
	broken := errors.New("broken")
	r := Record(Func(func(command []byte) ([]byte, error) {
		if code(command) == 0x144 {
			return nil, broken
		}
		return command, nil
	}))
	startup := []byte{0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0}
	r.Send(getRandom)
	if _, err := r.Send(startup); err != broken {
		t.Errorf("error %v", err)
	}
	if got := r.Commands(); !slices.Equal(got, []uint32{0x17b, 0x144}) {
		t.Errorf("commands %#x", got)
	}
	if last := r.Log()[1]; last.Err != broken || last.Response != nil || last.Code() != 0x144 {
		t.Errorf("last exchange %+v", last)
	}
	r.Reset()
	if r.Count() != 0 {
		t.Errorf("%d commands after Reset", r.Count())
	}
}

func TestServe(t *testing.T) {
	r := Record(Func(func(command []byte) ([]byte, error) { return command, nil }))
	spec := Serve(t, r)
	var group sync.WaitGroup
	for range 8 {
		c := Dial(t, spec)
		group.Go(func() {
			for range 20 {
				if got, err := c.Send(getRandom); err != nil || string(got) != string(getRandom) {
					t.Errorf("response %x, error %v", got, err)
				}
			}
		})
	}
	group.Wait()
	if r.Count() != 160 {
		t.Errorf("%d commands", r.Count())
	}
}

func TestServeEndsConnectionOnError(t *testing.T) {
	spec := Serve(t, Func(func([]byte) ([]byte, error) { return nil, errors.New("no chip") }))
	if _, err := Dial(t, spec).Send(getRandom); err == nil {
		t.Error("an answer from a broken Sender")
	}
}

func TestDialOfOtherSpecs(t *testing.T) {
	if _, err := dial("/dev/tpm0"); err == nil {
		t.Error("dialled a device")
	}
}
