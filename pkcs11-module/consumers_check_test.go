//go:build check

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tpmkey.example/rm/tpmtest"
)

// The programs that take longer, or that few have installed. The chip is shared, since many end without C_Finalize, and nobody else would clean up after them.
func TestMoreConsumers(t *testing.T) {
	tpmtest.Need(t, "bash", "openssl", "java", "keytool", "curl", "git", "ssh", "ssh-add", "ssh-agent", "ssh-keygen",
		"p11-kit", "p11tool", "pkg-config", "pkcs11-tool", "certtool", "gnutls-serv", "gnutls-cli",
		"modutil", "certutil", "selfserv", "/usr/sbin/openvpn", "systemd-cryptenroll", "pki", "setpriv", "/usr/sbin/cryptsetup")
	params := consumers(t, "testdata/check", newShared)
	setup := params.Setup
	loopback := buildLoopback(t)
	params.Setup = func(env *testscript.Env) error {
		env.Setenv("PORT", strconv.Itoa(freePort(t)))
		env.Setenv("PORT2", strconv.Itoa(freePort(t)))
		env.Setenv("LOOPBACK", loopback)
		return setup(env)
	}
	params.Cmds["listening"] = awaitListener
	testscript.Run(t, params)
}

// buildLoopback makes what is preloaded into servers that would listen for the whole network.
func buildLoopback(t *testing.T) string {
	t.Helper()
	library := filepath.Join(t.TempDir(), "loopback.so")
	if output, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, "testdata/loopback.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return library
}

// awaitListener waits until somebody listens on $PORT, and on the loopback only. It does not connect, because servers count.
func awaitListener(script *testscript.TestScript, _ bool, _ []string) {
	port, err := strconv.Atoi(script.Getenv("PORT"))
	script.Check(err)
	// The local address, the other one, and TCP_LISTEN of the kernel's net/tcp_states.h.
	listener := regexp.MustCompile(fmt.Sprintf(` [0-9A-F]+:%04X [0-9A-F]+:0000 0A `, port))
	open := regexp.MustCompile(fmt.Sprintf(` 0+:%04X [0-9A-F]+:0000 0A `, port))
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		four, err := os.ReadFile("/proc/net/tcp")
		script.Check(err)
		six, _ := os.ReadFile("/proc/net/tcp6") // where the kernel has IPv6
		all := append(four, six...)
		if open.Match(all) {
			script.Fatalf("port %d is open to the whole network", port)
		}
		if listener.Match(all) {
			return
		}
	}
	script.Fatalf("nobody listens on port %d", port)
}
