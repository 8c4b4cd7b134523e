//go:build vm

package vm

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

const namespacesFile = "/etc/tpmkey/namespaces.toml"

// A namespace gets a TPM of its own, and takes it back: the kernel's own manager works above our filter, for which the kernel itself has to start it first.
func TestVirtualTPM(t *testing.T) {
	awaitGivenBack(t)
	reload := func(text string) {
		if err := os.MkdirAll("/etc/tpmkey", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(namespacesFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		theDaemon.Process.Signal(unix.SIGHUP)
	}
	reload("[[namespace]]\nname = \"box\"\nvtpm = true\n")
	awaitFile(t, "/dev/tpmrm1", true)
	box, err := openNode("/dev/tpmrm1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		reload("")
		awaitFile(t, "/dev/tpmrm1", false)
	}()
	defer box.Close()
	key := newSigning(t, box)
	for range 3 {
		if err := key.sign(); err != nil {
			t.Error(err)
		}
	}
	clear := message(tpm2.TPMCCClear, []uint32{uint32(tpm2.TPMRHLockout)}, true, nil)
	if response, err := box.Send(clear); err == nil && !bytes.Equal(response, wire.ErrorResponse(filter.RCDenied)) {
		t.Errorf("Clear from inside: %x", response)
	}
	p := as(t, 0)
	p.env = append(p.env, "TPM2TOOLS_TCTI=device:/dev/tpmrm1")
	p.do("tpm2_createprimary", "-Q", "-c", "primary.ctx")
	p.do("tpm2_create", "-Q", "-C", "primary.ctx", "-G", "rsa2048", "-u", "key.pub", "-r", "key.priv")
}

func awaitFile(t *testing.T, path string, there bool) {
	t.Helper()
	for range 600 {
		if _, err := os.Stat(path); (err == nil) == there {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	log, _ := os.ReadFile("/tmp/tpms.log")
	t.Fatalf("%s: there: %v, for a minute\n%s", path, !there, log)
}
