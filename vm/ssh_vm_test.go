//go:build vm

package vm

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const module = "/tpmkey/tpmkey-pkcs11.so"

// Ssh lists a key and logs in with it, through the module.
func TestSSH(t *testing.T) {
	p := as(t, user)
	p.do("tpmkey", "new", "k")
	public := strings.Fields(p.do("tpmkey", "pub", "k"))[1]
	if out := p.do("ssh-keygen", "-D", module); !strings.Contains(out, public) {
		t.Errorf("ssh-keygen shows %s, want %s", out, public)
	}
	as(t, 0).do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/host_key")
	host, err := os.ReadFile("/tmp/host_key.pub")
	if err != nil {
		t.Fatal(err)
	}
	p.file("authorized", "ssh-rsa "+public+"\n")
	known := p.file("known", "[127.0.0.1]:2222 "+string(host))
	config := p.file("sshd_config", "ListenAddress 127.0.0.1\nPort 2222\nHostKey /tmp/host_key\nAuthorizedKeysFile "+p.dir+"/authorized\n"+
		"AuthenticationMethods publickey\nStrictModes no\nUsePAM no\nPidFile none\n")
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	listening := false
	for range 600 {
		if c, err := net.Dial("tcp", "127.0.0.1:2222"); err == nil {
			c.Close()
			listening = true
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	out, err := p.command("ssh", "-F", "none", "-p", "2222", "-o", "UserKnownHostsFile="+known, "-o", "BatchMode=yes", "-o", "PKCS11Provider="+module,
		"-o", "IdentityFile=none", "user@127.0.0.1", "id", "-u").CombinedOutput()
	server.Process.Kill()
	server.Wait()
	if err != nil || strings.TrimSpace(string(out)) != "1000" || !listening {
		t.Errorf("ssh: %s, %v\nsshd: %s", out, err, &log)
	}
}
