//go:build bench

package bench

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/bench/table"
	"tpmkey.example/rm/tpmtest"
)

// The modules of others as Debian installs them (packages libtpm2-pkcs11-1 and libsofthsm2).
const (
	peerModule = "/usr/lib/*/pkcs11/libtpm2_pkcs11.so"
	softModule = "/usr/lib/*/softhsm/libsofthsm2.so"
)

// newModules makes a setting for each module, each with a chip of its own.
func newModules(t *testing.T) map[table.Column]*setting {
	t.Helper()
	return map[table.Column]*setting{table.Tpmkey: newSetting(t, true), table.TPM2PKCS11: newPeer(t), table.SoftHSM2: newSoft(t)}
}

// installed is the file that a pattern stands for.
func installed(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v; run: make packages-bench", pattern, found, err)
	}
	return found[0]
}

// newPeer makes a token and a key of tpm2-pkcs11, whose parent is persistent, as
// its own key always is.
func newPeer(t *testing.T) *setting {
	t.Helper()
	s := newChip(t)
	tpmtest.PersistSRK(t, s.raw)
	s.extra = []string{
		"TPM2_PKCS11_STORE=" + s.home, "TPM2_PKCS11_TCTI=swtpm:path=" + strings.TrimPrefix(s.spec, "unix:"),
		"TPM2_PKCS11_LOG_LEVEL=0", "TSS2_LOG=all+NONE",
	}
	s.makeTokenKey(installed(t, peerModule))
	return s
}

// newSoft makes a token and a key of SoftHSM2, beside a chip that only the raw commands are for.
func newSoft(t *testing.T) *setting {
	t.Helper()
	s := newChip(t)
	tpmtest.PersistSRK(t, s.raw)
	config, tokens := filepath.Join(s.home, "softhsm2.conf"), filepath.Join(s.home, "tokens")
	err := os.Mkdir(tokens, 0o700)
	if err == nil {
		err = os.WriteFile(config, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.extra = []string{"SOFTHSM2_CONF=" + config}
	s.makeTokenKey(installed(t, softModule))
	return s
}

func (s *setting) makeTokenKey(module string) {
	s.t.Helper()
	s.module, s.pin = module, "123456"
	s.public = filepath.Join(s.home, "peer.pub")
	askpass := filepath.Join(s.home, "askpass")
	s.extra = append(s.extra, "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force")
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
func (s *setting) startPeerBroker() *exec.Cmd {
	s.t.Helper()
	dir := s.t.TempDir()
	bus := filepath.Join(dir, "bus")
	tpmtest.Start(s.t, s.command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+bus), tpmtest.Listens(bus))
	s.extra = append(s.extra, "DBUS_SESSION_BUS_ADDRESS=unix:path="+bus)
	broker := s.command("tpm2-abrmd", "--session", "--allow-root", "--tcti=swtpm:path="+strings.TrimPrefix(s.spec, "unix:"))
	tpmtest.Start(s.t, broker, s.ownsName)
	s.extra = append(s.extra, "TPM2_PKCS11_TCTI="+abrmd)
	return broker
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
