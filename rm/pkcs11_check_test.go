//go:build check

package rm_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A pkcs11User runs tpm2-pkcs11's programs, each connection a space of nobody's under the profile tss.
type pkcs11User struct {
	t      *testing.T
	dir    string
	module string
	tcti   string

	mu     sync.Mutex
	denied []string
}

func newPKCS11User(t *testing.T, m *rm.Manager) *pkcs11User {
	t.Helper()
	tpmtest.Need(t, "tpm2_ptool", "pkcs11-tool", "nc", "openssl")
	found, err := filepath.Glob("/usr/lib/*/pkcs11/libtpm2_pkcs11.so")
	if err != nil || len(found) != 1 {
		tpmtest.Missing(t, "libtpm2-pkcs11-1")
	}
	u := &pkcs11User{t: t, dir: t.TempDir(), module: found[0]}
	u.tcti = "cmd:nc -N -U " + u.serve(m)
	for name, text := range map[string]string{"data": "what is signed", "store/.keep": ""} {
		path := filepath.Join(u.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// serve offers spaces on a socket until the test ends.
func (u *pkcs11User) serve(m *rm.Manager) string {
	u.t.Helper()
	dir, err := os.MkdirTemp("", "tss")
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		u.t.Fatal(err)
	}
	var clients sync.WaitGroup
	u.t.Cleanup(func() { l.Close(); clients.Wait() })
	f := named(u.t, "tss")
	clients.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { u.converse(conn, m, f) })
		}
	})
	return path
}

func (u *pkcs11User) converse(conn net.Conn, m *rm.Manager, f *filter.Filter) {
	defer conn.Close()
	s, err := m.Open(rm.Options{UID: nobody, Filter: f, Denied: func(d filter.Decision, code tpm2.TPMCC) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.denied = append(u.denied, wire.ShapeOf(code).Name+": "+d.Why)
	}})
	if err != nil {
		return
	}
	defer s.Close()
	for {
		command := make([]byte, wire.HeaderSize)
		if _, err := io.ReadFull(conn, command); err != nil {
			return
		}
		command = append(command, make([]byte, binary.BigEndian.Uint32(command[2:])-wire.HeaderSize)...)
		if _, err := io.ReadFull(conn, command[wire.HeaderSize:]); err != nil {
			return
		}
		response, err := s.Send(command)
		if err != nil {
			u.t.Error(err)
			return
		}
		if _, err := conn.Write(response); err != nil {
			return
		}
	}
}

// try runs a program in the user's folder.
func (u *pkcs11User) try(program string, args ...string) (string, error) {
	c := exec.Command(program, args...)
	c.Dir = u.dir
	c.Env = append(os.Environ(), "TPM2_PKCS11_STORE="+filepath.Join(u.dir, "store"), "TPM2_PKCS11_TCTI="+u.tcti, "TPM2TOOLS_TCTI="+u.tcti,
		"TPM2_PKCS11_LOG_LEVEL=0", "TSS2_LOG=all+NONE")
	output, err := c.CombinedOutput()
	return string(output), err
}

func (u *pkcs11User) run(program string, args ...string) string {
	u.t.Helper()
	output, err := u.try(program, args...)
	if err != nil {
		u.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, output)
	}
	return output
}

// tool runs pkcs11-tool on the token.
func (u *pkcs11User) tool(pin string, args ...string) string {
	u.t.Helper()
	return u.run("pkcs11-tool", append([]string{"--module", u.module, "--token-label", "tok", "--login", "--pin", pin}, args...)...)
}

// use signs with every padding, decrypts, and checks with OpenSSL.
func (u *pkcs11User) use(pin, id string) {
	u.t.Helper()
	u.tool(pin, "--read-object", "--type", "pubkey", "--id", id, "-o", "key.der")
	u.run("openssl", "rsa", "-pubin", "-inform", "DER", "-in", "key.der", "-out", "key.pem")
	for mechanism, options := range map[string][]string{
		"SHA256-RSA-PKCS":     nil,
		"SHA256-RSA-PKCS-PSS": {"-sigopt", "rsa_padding_mode:pss"},
	} {
		u.tool(pin, "--sign", "-m", mechanism, "--id", id, "-i", "data", "-o", "signature")
		u.run("openssl", append(append([]string{"dgst", "-sha256", "-verify", "key.pem", "-signature", "signature"}, options...), "data")...)
	}
	u.run("openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", "key.pem", "-in", "data", "-out", "encrypted")
	u.tool(pin, "--decrypt", "-m", "RSA-PKCS", "--id", id, "-i", "encrypted", "-o", "decrypted")
	if got, err := os.ReadFile(filepath.Join(u.dir, "decrypted")); err != nil || string(got) != "what is signed" {
		u.t.Errorf("decrypted %q, %v", got, err)
	}
}

// wasRefused fails the test for everything that the filter has refused since.
func (u *pkcs11User) wasRefused() {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range u.denied {
		u.t.Errorf("denied: %s", d)
	}
	u.denied = nil
}

// How a token comes to its parent, and which of these parents' failed authorizations the chip counts.
var pkcs11Parents = []struct {
	name       string
	persistent bool
	init       [][]string
}{
	{"made each time, as the TSS2 engine does it", false, [][]string{{"tpm2_ptool", "init", "--transient-parent", "tss2-engine-key"},
		{"tpm2_ptool", "addtoken", "--pid", "1", "--label", "tok", "--sopin", "5678", "--userpin", "1234"}}},
	{"made each time, as tpm2-tools do it", false, [][]string{{"tpm2_ptool", "init", "--transient-parent", "tpm2-tools-default"},
		{"tpm2_ptool", "addtoken", "--pid", "1", "--label", "tok", "--sopin", "5678", "--userpin", "1234"}}},
	{"the storage root key", true, [][]string{{"pkcs11-tool", "--module", "MODULE", "--init-token", "--slot-index", "0", "--label", "tok", "--so-pin", "5678"},
		{"pkcs11-tool", "--module", "MODULE", "--init-pin", "--token-label", "tok", "--so-pin", "5678", "--pin", "1234"}}},
}

// tpm2-pkcs11 1.9 makes a token, makes keys by its tool and by its module, uses them and changes its PIN: unchanged, under the profile tss, as nobody.
func TestTPM2PKCS11(t *testing.T) {
	for _, parent := range pkcs11Parents {
		t.Run(parent.name, func(t *testing.T) {
			spec := tpmtest.SWTPM(t)
			b := newBench(t, spec, rm.Alone)
			if parent.persistent {
				tpmtest.PersistSRK(t, b.recorder)
			}
			u := newPKCS11User(t, b.Manager)
			for _, step := range parent.init {
				u.run(step[0], strings.Split(strings.ReplaceAll(strings.Join(step[1:], "\n"), "MODULE", u.module), "\n")...)
			}
			u.run("tpm2_ptool", "addkey", "--label", "tok", "--userpin", "1234", "--algorithm", "rsa2048", "--key-label", "tool", "--id", "01")
			u.tool("1234", "--keypairgen", "--key-type", "rsa:2048", "--label", "module", "--id", "02")
			u.tool("1234", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "curve", "--id", "03")
			u.tool("1234", "--sign", "-m", "ECDSA-SHA256", "--id", "03", "-i", "data", "-o", "signature")
			u.use("1234", "3031")
			u.use("1234", "02")
			u.run("tpm2_ptool", "changepin", "--label", "tok", "--user", "user", "--old", "1234", "--new", "4321")
			u.use("4321", "02")
			u.wasRefused()
			u.guess(b)
		})
	}
}

// guess tries wrong PINs, each of which the chip would count: it locks itself after three.
func (u *pkcs11User) guess(b *bench) {
	u.t.Helper()
	for range 5 {
		if said, err := u.try("pkcs11-tool", "--module", u.module, "--token-label", "tok", "--login", "--pin", "0000", "--list-objects"); err == nil {
			u.t.Errorf("a wrong PIN was taken:\n%s", said)
		}
	}
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter), PropertyCount: 1}.Execute(b.recorder)
	if err != nil {
		u.t.Fatal(err)
	}
	properties, err := r.CapabilityData.Data.TPMProperties()
	if err != nil || len(properties.TPMProperty) != 1 || properties.TPMProperty[0].Value != 1 {
		u.t.Errorf("five wrong PINs count %+v, %v, want 1", properties, err)
	}
}
