package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// A toolUser runs other people's TPM programs as clients of tpmkeyd, in a folder of their own.
type toolUser struct {
	t    *testing.T
	dir  string
	path string // of tpmkeyd's socket
}

func (u *toolUser) run(program string, args ...string) string {
	u.t.Helper()
	c := exec.Command(program, args...)
	c.Dir = u.dir
	tcti := "cmd:nc -N -U " + u.path
	c.Env = append(os.Environ(), "TPM2TOOLS_TCTI="+tcti, "TPM2OPENSSL_TCTI="+tcti)
	output, err := c.CombinedOutput()
	if err != nil {
		u.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, output)
	}
	return string(output)
}

// tpm2-tools make and use a key, keeping it in context files from one process to the next, and tpm2-openssl signs with digests of the TPM: unchanged,
// under the default filter.
func TestOtherPrograms(t *testing.T) {
	tpmtest.Need(t, "nc", "tpm2_createprimary", "openssl")
	path, log, _ := start(t, tpmtest.SWTPM(t))
	u := &toolUser{t, t.TempDir(), path}
	if err := os.WriteFile(filepath.Join(u.dir, "data"), []byte("what is signed"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run("tpm2_createprimary", "-Q", "-c", "primary.ctx")
	u.run("tpm2_create", "-Q", "-C", "primary.ctx", "-G", "rsa2048", "-u", "key.pub", "-r", "key.priv", "-a",
		"fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|decrypt")
	u.run("tpm2_load", "-Q", "-C", "primary.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx")
	u.run("tpm2_sign", "-Q", "-c", "key.ctx", "-g", "sha256", "-s", "rsassa", "-f", "plain", "-o", "signature", "data")
	u.run("tpm2_readpublic", "-Q", "-c", "key.ctx", "-f", "pem", "-o", "key.pem")
	u.run("openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "data")
	u.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "key.pem", "-in", "data", "-out", "encrypted")
	if got := u.run("tpm2_rsadecrypt", "-c", "key.ctx", "encrypted"); got != "what is signed" {
		t.Errorf("decrypted %q", got)
	}
	if got, want := u.run("tpm2_hash", "-g", "sha256", "--hex", "data"), u.run("sha256sum", "data"); !strings.HasPrefix(want, strings.TrimSpace(got)) {
		t.Errorf("tpm2_hash %q, sha256sum %q", got, want)
	}
	u.run("openssl", "genpkey", "-provider", "tpm2", "-algorithm", "RSA", "-pkeyopt", "bits:2048", "-out", "tss.pem")
	u.run("openssl", "dgst", "-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2", "-sha256", "-sign", "tss.pem", "-out", "signature2", "data")
	u.run("openssl", "pkey", "-provider", "tpm2", "-provider", "default", "-in", "tss.pem", "-pubout", "-out", "tss.pub")
	u.run("openssl", "dgst", "-sha256", "-verify", "tss.pub", "-signature", "signature2", "data")
	if said := log.String(); strings.Contains(said, "denied") {
		t.Errorf("something was denied:\n%s", said)
	}
}
