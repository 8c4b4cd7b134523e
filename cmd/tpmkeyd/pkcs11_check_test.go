//go:build check

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
)

// newPKCS11User is a user of tpm2-pkcs11, under the profile tss.
func newPKCS11User(t *testing.T, spec string) (*toolUser, *journal) {
	t.Helper()
	tpmtest.Need(t, "tpm2_ptool", "pkcs11-tool", "openssl")
	if found, err := filepath.Glob("/usr/lib/*/pkcs11/libtpm2_pkcs11.so"); err != nil || len(found) != 1 {
		tpmtest.Missing(t, "libtpm2-pkcs11-1")
	}
	tss, err := filter.Named("tss")
	if err != nil {
		t.Fatal(err)
	}
	path, log, _ := startGranting(t, spec, &namespaces{everybody: grant{filter: tss, chip: anyChip}})
	u := newToolUser(t, path)
	u.env = append(u.env, "TPM2_PKCS11_LOG_LEVEL=0", "TSS2_LOG=all+NONE")
	return u, log
}

// tpm2-pkcs11 makes a token and a key, signs and decrypts, as the page tells it: unchanged, as nobody. A wrong PIN is one, and what comes after it is refused.
func TestTPM2PKCS11(t *testing.T) {
	u, log := newPKCS11User(t, tpmtest.SWTPM(t))
	typed := section(t, "tpm2-pkcs11.md", "# tpm2-pkcs11, unchanged, through tpmkeyd")
	u.run(typed)
	u.wasRefused(log)
	login := "export TPM2_PKCS11_STORE=$HOME/.tpm2_pkcs11; pkcs11-tool --module $(ls /usr/lib/*/pkcs11/libtpm2_pkcs11.so) --token-label web --login --list-objects --pin "
	u.refused(login+"0000", "CKR_PIN_INCORRECT")
	u.refused(login+"1234", saysBraked)
}

// Root keeps a parent in the chip for all, nobody else does, and everybody's tokens are under it.
func TestTPM2PKCS11WithOneParent(t *testing.T) {
	spec := tpmtest.SWTPM(t)
	if os.Geteuid() != 0 {
		chip := tpmtest.Dial(t, spec)
		tpmtest.PersistSRK(t, chip)
		chip.Close()
	}
	u, log := newPKCS11User(t, spec)
	if os.Geteuid() == 0 {
		u.refused("export TPM2_PKCS11_STORE=$PWD; tpm2_ptool init", saysDenied)
		log.await(t, "TPM2_EvictControl: caller is not root")
		root := *u
		root.dir, root.isRoot = t.TempDir(), true
		root.run("export TPM2_PKCS11_STORE=$PWD; tpm2_ptool init")
		root.refused("tpm2_evictcontrol -C o -c 0x81000001", saysDenied)
	}
	u.run(strings.Replace(section(t, "tpm2-pkcs11.md", "# tpm2-pkcs11, unchanged, through tpmkeyd"), "--transient-parent tss2-engine-key", "--primary-handle 0x81000001", 1))
}
