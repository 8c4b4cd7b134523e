//go:build check

package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

var kills = flag.Int("kills", 100, "how often tpmkeyd is killed")

// A busySigner signs as long as it may, with a key that it has opened once.
type busySigner struct {
	key    *signer.Key
	signed atomic.Int64
}

// work signs until told to stop. Each signature must be right: one that was in flight when tpmkeyd died is made again by whoever was left.
func (b *busySigner) work(stop chan struct{}) error {
	for n := uint64(0); ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		digest := sha256.Sum256(fmt.Append(nil, n))
		signature, err := b.key.Sign(nil, digest[:], crypto.SHA256)
		if err == nil {
			err = rsa.VerifyPKCS1v15(b.key.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature)
		}
		if err != nil {
			return err
		}
		b.signed.Add(1)
	}
}

// await waits for one more signature than there is.
func (b *busySigner) await(t *testing.T) {
	t.Helper()
	before := b.signed.Load()
	for range 6000 {
		if b.signed.Load() > before+1 || t.Failed() { // the first of them may have been in flight
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a client signs no more")
}

// newBusySigners makes a key, and one with a PIN, and opens each as programs do. Two share the first one.
func newBusySigners(t *testing.T, spec string) []*busySigner {
	t.Helper()
	dir := t.TempDir()
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	defer p.Close()
	var all []*busySigner
	for name, pin := range map[string]string{"plain": "", "pin": "1234"} {
		if _, err := p.Create(name, provider.Template{PIN: []byte(pin)}); err != nil {
			t.Fatal(err)
		}
		key, err := signer.Open(name, signer.WithDevice(spec), signer.WithDirs(dir), signer.WithPIN(func(string, error) ([]byte, error) { return []byte("1234"), nil }))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &busySigner{key: key})
		if pin == "" {
			all = append(all, &busySigner{key: key})
		}
	}
	return all
}

// startReady starts a service on a chip, and waits until it says that it is ready.
func (m *systemd) startReady(t *testing.T, spec string) (*exec.Cmd, *journal) {
	t.Helper()
	c, j := m.start(t, "tpms:control", "-device "+spec)
	for said := m.heard(t); said != "READY=1"; said = m.heard(t) {
	}
	return c, j
}

// tpmkeyd is killed at random moments, and started again by whoever holds its socket. Its clients see nothing of it: each signature comes, and is right. The chip is
// left with what it had.
func TestKilledService(t *testing.T) {
	m, spec := newSystemd(t), tpmtest.SWTPM(t)
	before := counters(t, spec)
	c, j := m.startReady(t, spec)
	signers := newBusySigners(t, "broker:"+filepath.Join(m.dir, "tpms.sock"))
	stop, all := make(chan struct{}), sync.WaitGroup{}
	for _, s := range signers {
		all.Go(func() {
			if err := s.work(stop); err != nil {
				t.Errorf("after %d signatures: %v", s.signed.Load(), err)
			}
		})
	}
	for range *kills {
		for _, s := range signers {
			s.await(t)
		}
		time.Sleep(rand.N(30 * time.Millisecond))
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Fatalf("%s", j)
		}
		c, j = m.startReady(t, spec)
	}
	close(stop)
	all.Wait()
	for _, s := range signers {
		s.key.Close()
	}
	if err := errors.Join(c.Process.Signal(unix.SIGTERM), c.Wait()); err != nil {
		t.Errorf("%v\n%s", err, j)
	}
	for property, value := range counters(t, spec) {
		if value != before[property] {
			t.Errorf("property 0x%x was %d and is %d", uint32(property), before[property], value)
		}
	}
}
