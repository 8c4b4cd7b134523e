//go:build vm

package vm

import (
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/tpms"
)

// plugIn makes a second chip: a swtpm in the machine itself, which the kernel's driver for virtual TPMs shows as /dev/tpm1.
func plugIn(t *testing.T) {
	t.Helper()
	c := exec.Command("swtpm", "chardev", "--vtpm-proxy", "--tpm2", "--tpmstate", "dir="+t.TempDir())
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	for range 600 {
		if chip, err := openNode("/dev/tpm1"); err == nil {
			chip.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("there is no /dev/tpm1")
}

func primary(c tpmtest.Sender) (*tpm2.CreatePrimaryResponse, error) {
	return tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(c)
}

// A chip that comes later is behind the same node: root chooses it, and the keys of the two are not the same.
func TestTwoChips(t *testing.T) {
	a, b := mustOpen(t, node), mustOpen(t, node)
	if err := tpms.SetChip(int(b), 1); err == nil {
		t.Error("a chip that is not there was set")
	}
	plugIn(t)
	if err := tpms.SetChip(int(b), 1); err != nil {
		t.Fatal(err)
	}
	first, err := primary(a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := primary(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Name.Buffer) == string(second.Name.Buffer) {
		t.Error("both chips have the same key")
	}
	if n, err := tpms.Chip(int(b)); err != nil || n != 1 {
		t.Errorf("it is chip %d, %v", n, err)
	}
}

// signing is a key on a device, and what it takes to use it.
type signing struct {
	chip tpmtest.Sender
	key  tpm2.NamedHandle
}

func newSigning(t *testing.T, chip tpmtest.Sender) *signing {
	t.Helper()
	parent, err := primary(chip)
	if err != nil {
		t.Fatal(err)
	}
	under := tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name}
	made, err := tpm2.Create{ParentHandle: under, InPublic: tpm2.New2B(tpmtest.RSATemplate())}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tpm2.Load{ParentHandle: under, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tpm2.FlushContext{FlushHandle: parent.ObjectHandle}).Execute(chip); err != nil {
		t.Fatal(err)
	}
	return &signing{chip, tpm2.NamedHandle{Handle: key.ObjectHandle, Name: key.Name}}
}

func (s *signing) sign() error {
	_, err := tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: s.key.Handle, Name: s.key.Name, Auth: tpm2.PasswordAuth(nil)},
		Digest:    tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(s.chip)
	return err
}

// newNeighbour is a key on the kernel's own manager, which is made while we hold nothing: making one takes two of the chip's three slots, and that manager does not
// wait until they are free.
func newNeighbour(t *testing.T) *signing {
	t.Helper()
	awaitGivenBack(t)
	return newSigning(t, mustOpen(t, "/dev/tpmrm0"))
}

// Users of the kernel's own manager work beside ours, both at the same time: as long as one has something to do the other gets on too.
func TestNeighbours(t *testing.T) {
	theirs := newNeighbour(t)
	ours := newSigning(t, mustOpen(t, node))
	const signatures = 20
	var done [2]atomic.Int32
	ended := make(chan int, 2)
	for i, s := range []*signing{ours, theirs} {
		go func() {
			defer func() { ended <- i }()
			for done[i].Load() < signatures {
				if err := s.sign(); err != nil {
					t.Errorf("%s: %v", []string{node, "/dev/tpmrm0"}[i], err)
					return
				}
				done[i].Add(1)
			}
		}()
	}
	first := <-ended
	if n := done[1-first].Load(); n == 0 && !t.Failed() {
		t.Errorf("%d signatures of one, and none of the other", signatures)
	}
	<-ended
}
