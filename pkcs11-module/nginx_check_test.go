//go:build check

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// configuration is nginx with two workers, each a forked child of a forked child, and a key in the module.
const configuration = `
worker_processes 2;
daemon on;
%[1]s
pid %[2]s/pid;
error_log %[2]s/errors;
ssl_engine pkcs11;
env TPMKEY_DEVICE; env XDG_DATA_HOME; env TPMKEY_LOG; env OPENSSL_CONF;
events {}
http {
	access_log off;
	client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
	server {
		listen 127.0.0.1:%[3]d ssl;
		ssl_protocols TLSv1.3;
		ssl_certificate %[2]s/certificate.pem;
		ssl_certificate_key "engine:pkcs11:pkcs11:object=demo;type=private";
		ssl_session_tickets off;
		ssl_session_cache off;
		keepalive_timeout 0;
		location / { return 200 "served by $pid\n"; }
	}
}
`

const engine = `
openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = engine
[engine]
engine_id = pkcs11
MODULE_PATH = %s
init = 0
`

// nginx is a running server.
type nginx struct {
	t       *testing.T
	dir     string
	address string
	roots   *x509.CertPool
}

// A server with two workers as another user signs in every handshake, also after it has read its configuration again.
func TestNginx(t *testing.T) {
	tpmtest.Need(t, "/usr/sbin/nginx", "openssl")
	s := newShared(t)
	n := s.startNginx(t)
	old := n.handshakes(200)
	n.signal(syscall.SIGHUP)
	n.awaitOthers(old)
	n.handshakes(50)
}

func (s *setting) startNginx(t *testing.T) *nginx {
	t.Helper()
	dir := s.openDirs(t)
	n := &nginx{t: t, dir: dir, roots: x509.NewCertPool()}
	environment := append(s.environment(), "OPENSSL_CONF="+filepath.Join(dir, "openssl.cnf"), "TPMKEY_LOG="+filepath.Join(dir, "log"))
	n.write("openssl.cnf", fmt.Sprintf(engine, module(t)))
	request := exec.Command("openssl", "req", "-x509", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key", "pkcs11:object=demo;type=private",
		"-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-out", filepath.Join(dir, "certificate.pem"))
	request.Env = environment
	if output, err := request.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	certificate, err := os.ReadFile(filepath.Join(dir, "certificate.pem"))
	if err != nil || !n.roots.AppendCertsFromPEM(certificate) {
		t.Fatal("certificate: ", err)
	}
	port := freePort(t)
	n.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	worker := ""
	if os.Getuid() == 0 {
		worker = "user nobody nogroup;"
	}
	n.write("nginx.conf", fmt.Sprintf(configuration, worker, dir, port))
	start := exec.Command("/usr/sbin/nginx", "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "errors"))
	start.Env = environment
	if output, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Cleanup(n.stop)
	return n
}

// openDirs lets the workers' user read the key: that user is its owner, if the test may say so.
func (s *setting) openDirs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpmkey-nginx-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() != 0 {
		return dir
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	home := filepath.Join(dir, "home")
	if output, err := exec.Command("cp", "-r", s.home, home).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	s.home = home
	filepath.Walk(dir, func(path string, _ os.FileInfo, _ error) error { return os.Chown(path, uid, gid) })
	for path := filepath.Dir(strings.TrimPrefix(s.spec, "broker:")); path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		os.Chmod(path, 0o755)
	}
	return dir
}

func (n *nginx) write(name, text string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// awaitOthers waits for the first handshake with a worker that is not one of these.
func (n *nginx) awaitOthers(old map[string]int) {
	n.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if worker, err := n.handshake(); err != nil {
			n.t.Fatal(err)
		} else if old[worker] == 0 {
			return
		}
	}
	n.t.Fatal("no new workers")
}

// handshakes wants all of so many full handshakes, four at once, and counts them by worker.
func (n *nginx) handshakes(count int) map[string]int {
	n.t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	workers := map[string]int{}
	turns := make(chan struct{}, count)
	for range count {
		turns <- struct{}{}
	}
	close(turns)
	for range 4 {
		group.Go(func() {
			for range turns {
				worker, err := n.handshake()
				mu.Lock()
				workers[worker]++
				mu.Unlock()
				if err != nil {
					n.t.Error(err)
				}
			}
		})
	}
	group.Wait()
	n.t.Logf("%d handshakes, by worker: %v", count, workers)
	if n.t.Failed() {
		n.explain()
	}
	return workers
}

// explain shows what the server and the module logged.
func (n *nginx) explain() {
	n.t.Helper()
	for _, name := range []string{"errors", "log"} {
		text, _ := os.ReadFile(filepath.Join(n.dir, name))
		n.t.Logf("%s:\n%.3000s", name, text)
	}
	n.t.FailNow()
}

func (n *nginx) handshake() (string, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", n.address, &tls.Config{RootCAs: n.roots, ServerName: "localhost", MinVersion: tls.VersionTLS13})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if conn.ConnectionState().DidResume {
		return "", fmt.Errorf("a resumed session, which nobody signed for")
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	_, worker, found := strings.Cut(string(answer), "served by ")
	if err == nil && !found {
		err = fmt.Errorf("answered %q", answer)
	}
	return strings.TrimSpace(worker), err
}

func (n *nginx) pid() int {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "pid"))
	if err != nil {
		n.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		n.t.Fatal(err)
	}
	return pid
}

func (n *nginx) signal(signal syscall.Signal) {
	n.t.Helper()
	if err := syscall.Kill(n.pid(), signal); err != nil {
		n.t.Fatal(err)
	}
}

// stop waits for the master and the helpers of its workers to go.
func (n *nginx) stop() {
	pid := n.pid()
	n.signal(syscall.SIGTERM)
	for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	noHelpers(n.t)
}
