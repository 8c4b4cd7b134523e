//go:build check

package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
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

var kills = flag.Int("kills", 50, "how often tpmkeyd is killed")

// A busySigner signs as long as it may, with a key that it has opened once.
type busySigner struct {
	name   string
	public *rsa.PublicKey
	sign   func(data []byte) ([]byte, error) // SHA-256, PKCS #1 v1.5
	end    func() error

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
		data := binary.BigEndian.AppendUint64(nil, n)
		digest := sha256.Sum256(data)
		signature, err := b.sign(data)
		if err == nil {
			err = rsa.VerifyPKCS1v15(b.public, crypto.SHA256, digest[:], signature)
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
	t.Errorf("%s signs no more", b.name)
}

const busyPIN = "1234"

// newBusySigners makes a key, and one with a PIN, and opens each as programs do: with the package signer, twice the first one, and with the PKCS #11 module, which asks
// for itself or, in a child of its host, has its helper ask.
func newBusySigners(t *testing.T, spec string, module builtModule) []*busySigner {
	t.Helper()
	var all []*busySigner
	for _, row := range []struct{ key, pin string }{{"plain", ""}, {"secret", busyPIN}} {
		home := t.TempDir()
		dir := filepath.Join(home, "tpmkey")
		p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return device.Open(spec) })
		if _, err := p.Create(row.key, provider.Template{PIN: []byte(row.pin)}); err != nil {
			t.Fatal(err)
		}
		p.Close()
		key, err := signer.Open(row.key, signer.WithDevice(spec), signer.WithDirs(dir), signer.WithPIN(func(string, error) ([]byte, error) { return []byte(busyPIN), nil }))
		if err != nil {
			t.Fatal(err)
		}
		public := key.Public().(*rsa.PublicKey)
		sign := func(data []byte) ([]byte, error) {
			digest := sha256.Sum256(data)
			return key.Sign(nil, digest[:], crypto.SHA256)
		}
		all = append(all, &busySigner{name: "signer, key " + row.key, public: public, sign: sign, end: key.Close})
		if row.pin == "" {
			all = append(all, &busySigner{name: "signer, the same key", public: public, sign: sign, end: func() error { return nil }})
		}
		for _, mode := range []string{"own", "child"} {
			h := module.start(t, mode, row.pin, "XDG_DATA_HOME="+home, "TPMKEY_DEVICE="+spec)
			all = append(all, &busySigner{name: "module, " + mode + ", key " + row.key, public: public, sign: h.sign, end: h.end})
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
	module := buildModule(t) // first: the service leaves when nobody comes for half a minute
	m, spec := newSystemd(t), tpmtest.SWTPM(t)
	before := counters(t, spec)
	c, j := m.startReady(t, spec)
	signers := newBusySigners(t, "broker:"+filepath.Join(m.dir, "tpms.sock"), module)
	stop, all := make(chan struct{}), sync.WaitGroup{}
	for _, s := range signers {
		all.Go(func() {
			if err := s.work(stop); err != nil {
				t.Errorf("%s: after %d signatures: %v", s.name, s.signed.Load(), err)
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
		if err := s.end(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		t.Logf("%s: %d signatures", s.name, s.signed.Load())
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
