package provider_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// Files of tpm2_encodeobject below a persistent parent, with the attributes that tpm2_create gives a key. tpm2-tools 5.4 writes that there is an authValue where
// there is none. An empty PIN is right then; nobody tries that by himself, because a key with one would count it. Once the PIN is removed the file says so.
func TestTPM2EncodeObject(t *testing.T) {
	tpmtest.Need(t, "tpm2_createprimary", "tpm2_evictcontrol", "tpm2_create", "tpm2_encodeobject")
	spec, dir := tpmtest.SWTPM(t), t.TempDir()
	for _, line := range []string{
		"tpm2_createprimary -Q -C o -G rsa2048 -c srk.ctx",
		"tpm2_evictcontrol -Q -C o -c srk.ctx 0x81000001",
		"tpm2_flushcontext -t",
		"tpm2_create -Q -C 0x81000001 -G rsa2048 -u key.pub -r key.priv",
		"tpm2_encodeobject -Q -C 0x81000001 -u key.pub -r key.priv -o web.pem",
		"tpm2_flushcontext -t",
		"chmod 600 web.pem",
	} {
		words := strings.Fields(line)
		c := exec.Command(words[0], words[1:]...)
		c.Dir, c.Env = dir, append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+strings.TrimPrefix(spec, "unix:"))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	p := openIn(t, dir, spec)
	k, err := p.Key("web")
	if err != nil {
		t.Fatal(err)
	}
	if k.Parent() != 0x81000001 || k.NoDA() {
		t.Errorf("parent %#x, noDA %v", k.Parent(), k.NoDA())
	}
	if !k.HasPIN() {
		t.Error("the file says that there is no PIN: the rest of this test is not needed any more")
	}
	if err := k.GivePIN([]byte{}); err != nil {
		t.Fatal(err)
	}
	checkSigns(t, k)
	changed, err := p.ChangePIN(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.ForgetPINs()
	checkSigns(t, changed)
	testDecrypt(t, changed)
}
