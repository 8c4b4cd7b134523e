//go:build bench

package bench

import (
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
	s.module, s.pin = found[0], "123456"
	s.public = filepath.Join(s.home, "peer.pub")
	askpass := filepath.Join(s.home, "askpass")
	s.extra = []string{
		"TPM2_PKCS11_STORE=" + s.home, "TPM2_PKCS11_TCTI=swtpm:path=" + strings.TrimPrefix(s.spec, "unix:"),
		"TPM2_PKCS11_LOG_LEVEL=0", "TSS2_LOG=all+NONE",
		"SSH_ASKPASS=" + askpass, "SSH_ASKPASS_REQUIRE=force",
	}
	if err := os.WriteFile(askpass, []byte("#!/bin/sh\necho "+s.pin+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) { s.run("pkcs11-tool", append([]string{"--module", s.module}, args...)...) }
	tool("--init-token", "--slot-index", "0", "--label", "peer", "--so-pin", s.pin)
	tool("--init-pin", "--token-label", "peer", "--so-pin", s.pin, "--pin", s.pin)
	tool("--keypairgen", "--key-type", "rsa:2048", "--token-label", "peer", "--login", "--pin", s.pin, "--label", key, "--id", "01")
	if err := os.WriteFile(s.public, []byte(s.run("ssh-keygen", "-D", s.module)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tpm.Reset()
	return s
}
