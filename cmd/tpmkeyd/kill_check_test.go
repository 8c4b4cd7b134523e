//go:build check

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// victimDir tells a test binary that is started again to be a client of the socket in that directory, with the key there.
const victimDir = "TPMKEY_TEST_VICTIM_DIR"

func init() {
	if dir := os.Getenv(victimDir); dir != "" {
		fmt.Fprintln(os.Stderr, victim(dir))
		os.Exit(1)
	}
}

// victim is a client that works until it is killed.
func victim(dir string) error {
	private, err := os.ReadFile(filepath.Join(dir, "private"))
	if err != nil {
		return err
	}
	public, err := os.ReadFile(filepath.Join(dir, "public"))
	if err != nil {
		return err
	}
	d, err := device.Open("broker:" + filepath.Join(dir, "tpms.sock"))
	if err != nil {
		return err
	}
	fmt.Println("at work")
	for err == nil {
		err = work(d, tpm2.TPM2BPrivate{Buffer: private}, tpm2.BytesAs2B[tpm2.TPMTPublic](public))
	}
	return err
}

// work loads a key and signs with it in a session.
func work(d *device.Device, private tpm2.TPM2BPrivate, public tpm2.TPM2BPublic) error {
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(d)
	if err != nil {
		return ignoreQuota(err)
	}
	defer tpm2.FlushContext{FlushHandle: parent.ObjectHandle}.Execute(d)
	key, err := tpm2.Load{ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name}, InPrivate: private, InPublic: public}.Execute(d)
	if err != nil {
		return ignoreQuota(err)
	}
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(d)
	s, end, err := tpm2.HMACSession(d, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		return ignoreQuota(err)
	}
	defer end()
	_, err = tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: key.ObjectHandle, Name: key.Name, Auth: s},
		Digest:    tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(d)
	return ignoreQuota(err)
}

func ignoreQuota(err error) error {
	var rc tpm2.TPMRC
	if errors.As(err, &rc) && (rc&0xFFFF0000 == 0x000B0000 || rc == tpm2.TPMRCReferenceS0) {
		return nil
	}
	return err
}

// leaveKey makes a key for the victims.
func leaveKey(t *testing.T, dir string, d *device.Device) {
	t.Helper()
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(d)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tpm2.Create{ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name}, InPublic: tpm2.New2B(tpmtest.RSATemplate())}.Execute(d)
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][]byte{"private": key.OutPrivate.Buffer, "public": key.OutPublic.Bytes()} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, part, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(file) })
	}
}

// counters are what a chip has left of handles, and what it has counted of failures.
func counters(t *testing.T, spec string) map[tpm2.TPMPT]uint32 {
	t.Helper()
	c := tpmtest.Dial(t, spec)
	defer c.Close()
	found := map[tpm2.TPMPT]uint32{}
	for _, property := range []tpm2.TPMPT{tpm2.TPMPTHRTransientAvail, tpm2.TPMPTHRLoaded, tpm2.TPMPTHRLoadedAvail, tpm2.TPMPTHRActive, tpm2.TPMPTHRActiveAvail,
		tpm2.TPMPTHRPersistent, tpm2.TPMPTLockoutCounter} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(property), PropertyCount: 1}.Execute(c)
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.CapabilityData.Data.TPMProperties()
		if err != nil || len(list.TPMProperty) != 1 || list.TPMProperty[0].Property != property {
			t.Fatalf("property 0x%x: %+v, %v", uint32(property), list, err)
		}
		found[property] = list.TPMProperty[0].Value
	}
	return found
}

// kill starts one client and ends it with SIGKILL at a random moment of its work.
func kill(t *testing.T, dir string) {
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimDir+"="+dir)
	victim.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Error(err)
		return
	}
	if err := victim.Start(); err != nil {
		t.Error(err)
		return
	}
	text := make([]byte, len("at work"))
	if _, err := out.Read(text); err != nil || string(text) != "at work" {
		t.Errorf("a client says %q, %v", text, err)
	}
	time.Sleep(rand.N(40 * time.Millisecond))
	victim.Process.Kill()
	err = victim.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("a client ended by itself: %v", err)
	}
}

// Clients that are killed at random moments, a thousand of them, leave the chip's counters as they were.
func TestKilledClients(t *testing.T) {
	const clients, atOnce = 1000, 4
	spec := tpmtest.SWTPM(t)
	before := counters(t, spec)
	path, _, stop := start(t, spec)
	leaveKey(t, filepath.Dir(path), dial(t, path))
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for range clients / atOnce {
				kill(t, filepath.Dir(path))
			}
		})
	}
	group.Wait()
	random(t, dial(t, path))
	stop()
	for property, value := range counters(t, spec) {
		if value != before[property] {
			t.Errorf("property 0x%x was %d and is %d", uint32(property), before[property], value)
		}
	}
}
