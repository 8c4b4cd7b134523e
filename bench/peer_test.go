//go:build bench

package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// peerModule is tpm2-pkcs11 as Debian installs it (package libtpm2-pkcs11-1).
const peerModule = "/usr/lib/*/pkcs11/libtpm2_pkcs11.so"

// newPeer makes a token and a key of tpm2-pkcs11, whose parent is persistent, as
// its own key always is.
func newPeer(t *testing.T) *setting {
	t.Helper()
	found, err := filepath.Glob(peerModule)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v; install libtpm2-pkcs11-1", peerModule, found, err)
	}
	s := newChip(t)
	tpmtest.PersistSRK(t, s.raw)
	s.makePeerKey(found[0])
	return s
}

func (s *setting) makePeerKey(module string) {
	s.t.Helper()
	s.module, s.pin = module, "123456"
	s.public = filepath.Join(s.home, "peer.pub")
	askpass := filepath.Join(s.home, "askpass")
	s.extra = []string{
		"TPM2_PKCS11_STORE=" + s.home, "TPM2_PKCS11_TCTI=swtpm:path=" + strings.TrimPrefix(s.spec, "unix:"),
		"TPM2_PKCS11_LOG_LEVEL=0", "TSS2_LOG=all+NONE",
		"SSH_ASKPASS=" + askpass, "SSH_ASKPASS_REQUIRE=force",
	}
	if err := os.WriteFile(askpass, []byte("#!/bin/sh\necho "+s.pin+"\n"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	tool := func(args ...string) { s.run("pkcs11-tool", append([]string{"--module", s.module}, args...)...) }
	tool("--init-token", "--slot-index", "0", "--label", "peer", "--so-pin", s.pin)
	tool("--init-pin", "--token-label", "peer", "--so-pin", s.pin, "--pin", s.pin)
	tool("--keypairgen", "--key-type", "rsa:2048", "--token-label", "peer", "--login", "--pin", s.pin, "--label", key, "--id", "01")
	if err := os.WriteFile(s.public, []byte(s.run("ssh-keygen", "-D", s.module)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.tpm.Reset()
}

// startPeerBroker runs tpm2-abrmd on the setting's chip, on a message bus of its own,
// and has the peer use it.
func (s *setting) startPeerBroker() {
	s.t.Helper()
	dir := s.t.TempDir()
	bus := filepath.Join(dir, "bus")
	tpmtest.Start(s.t, s.command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+bus), tpmtest.Listens(bus))
	s.extra = append(s.extra, "DBUS_SESSION_BUS_ADDRESS=unix:path="+bus)
	broker := s.command("tpm2-abrmd", "--session", "--allow-root", "--tcti=swtpm:path="+strings.TrimPrefix(s.spec, "unix:"))
	tpmtest.Start(s.t, broker, s.ownsName)
	s.extra = append(s.extra, "TPM2_PKCS11_TCTI=tabrmd:bus_type=session")
}

// ownsName tells when tpm2-abrmd is on the bus.
func (s *setting) ownsName() error {
	output, err := s.command("dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus.NameHasOwner", "string:com.intel.tss2.Tabrmd").CombinedOutput()
	if err == nil && !strings.Contains(string(output), "boolean true") {
		err = errors.New("tpm2-abrmd is not on the bus")
	}
	return err
}
