package signer_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/signer"
)

// prepared says that this process has what the examples need: a TPM, and a working directory with the files that they name.
const prepared = "TPMKEY_TEST_EXAMPLES"

// The examples are written for users, who have all that. Elsewhere they are left to TestExamples.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(prepared) == "" {
		flag.Set("test.skip", "^Example")
	}
	os.Exit(m.Run())
}

func TestExamples(t *testing.T) {
	home, spec := t.TempDir(), tpmtest.SWTPM(t)
	p := provider.Open([]string{filepath.Join(home, "tpmkey")}, func() (transport.TPMCloser, error) { return device.Open(spec) })
	made, err := p.Create("web", provider.Template{})
	if err != nil {
		t.Fatal(err)
	}
	key := signer.New(made)
	if _, err := p.Create("acme", provider.Template{}); err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned(t, key, x509.SHA256WithRSA).Raw})
	if err := p.AttachCertificate(made, certificate, false); err != nil {
		t.Fatal(err)
	}
	p.Close() // swtpm serves one client at a time
	address, known := serveSSH(t, key)
	if err := os.WriteFile(filepath.Join(home, "known_hosts"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^Example", "-test.v", "-test.timeout=1m")
	c.Dir = home
	c.Env = append(os.Environ(), prepared+"=1", "XDG_DATA_HOME="+home, "TPMKEY_DEVICE="+spec, "HOST_AND_PORT="+address)
	c.Env = append(c.Env, serveACME(t)...)
	output, err := c.CombinedOutput()
	if passed := strings.Count(string(output), "--- PASS: Example_"); err != nil || passed != 7 {
		t.Errorf("%v, %d examples passed\n%s", err, passed, output)
	}
	verify := exec.Command("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "program.p7s", "-content", "program", "-CAfile", "tpmkey/web.crt", "-purpose", "any", "-out", "/dev/null")
	verify.Dir = home
	if output, err := verify.CombinedOutput(); err != nil {
		t.Errorf("the example's signature: %v\n%s", err, output)
	}
}

// serveSSH lets one key log in once, and gives the address and the line for known_hosts.
func serveSSH(t *testing.T, key *signer.Key) (address, known string) {
	t.Helper()
	login, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if string(offered.Marshal()) != string(login.Marshal()) {
			return nil, errors.New("another key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go letIn(listener, config)
	address = listener.Addr().String()
	return address, knownhosts.Line([]string{address}, host.PublicKey())
}

// letIn serves one connection until its client ends it.
func letIn(listener net.Listener, config *ssh.ServerConfig) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if server, _, requests, err := ssh.NewServerConn(conn, config); err == nil {
		go ssh.DiscardRequests(requests)
		server.Wait()
	}
}
