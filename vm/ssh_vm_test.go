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

const module = "/usr/lib/x86_64-linux-gnu/pkcs11/tpmkey-pkcs11.so"

// Once the package is installed, a user who is in no group needs two commands to log in with a key of the TPM. The server knows the key, and the machine the
// server; neither user nor administrator edits a file.
func TestSSH(t *testing.T) {
	p := as(t, user)
	p.atHome()
	p.do("tpmkey", "new", "laptop")
	p.do("tpmkey", "ssh")
	public := strings.Fields(p.do("tpmkey", "pub", "laptop"))[1]
	if out := p.do("ssh-keygen", "-D", module); !strings.Contains(out, public) {
		t.Errorf("ssh-keygen shows %s, want %s", out, public)
	}
	as(t, 0).do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/host_key")
	host, err := os.ReadFile("/tmp/host_key.pub")
	if err != nil {
		t.Fatal(err)
	}
	p.file("authorized", "ssh-rsa "+public+"\n")
	if err := os.WriteFile("/etc/ssh/ssh_known_hosts", []byte("[127.0.0.1]:2222 "+string(host)), 0o644); err != nil {
		t.Fatal(err)
	}
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
	out, err := p.command("ssh", "-p", "2222", "-o", "BatchMode=yes", "user@127.0.0.1", "id", "-u").CombinedOutput()
	server.Process.Kill()
	server.Wait()
	if err != nil || strings.TrimSpace(string(out)) != "1000" || !listening {
		t.Errorf("ssh: %s, %v\nsshd: %s", out, err, &log)
	}
}

// atHome lets a person work in his own home, with nothing in it and no setting.
func (p *person) atHome() {
	p.t.Helper()
	const home = "/var/user"
	p.t.Cleanup(func() {
		os.RemoveAll(home + "/.ssh")
		os.RemoveAll(home + "/.local")
	})
	if err := os.MkdirAll("/etc/ssh", 0o755); err != nil {
		p.t.Fatal(err)
	}
	p.env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
}
