package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// nobody is an unprivileged user.
const nobody = 65534

// A toolUser runs other people's TPM programs as clients of tpmkeyd: as nobody where the tests are root's, in a folder of his own.
type toolUser struct {
	t      *testing.T
	dir    string
	env    []string
	isRoot bool // all the same
}

// newToolUser is a user of the socket at path, who has tpmkey.
func newToolUser(t *testing.T, path string) *toolUser {
	t.Helper()
	programs := openDir(t)
	if output, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(programs, "tpmkey"), "../tpmkey").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	u := &toolUser{t: t, dir: nobodysDir(t)}
	u.env = append(os.Environ(), "HOME="+u.dir, "PATH="+programs+":"+os.Getenv("PATH"), "TPMKEY_DEVICE=broker:"+path, "OPENSSL_CONF=/dev/null")
	for _, variable := range []string{"TPM2TOOLS_TCTI", "TPM2OPENSSL_TCTI", "TPM2_PKCS11_TCTI"} {
		u.env = append(u.env, variable+"=cmd:tpmkey pipe")
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	return u
}

// openDir is a directory that everybody may enter, with a path that fits into the name of a socket.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpmkeyd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// nobodysDir is a directory of nobody's, where the tests are root's.
func nobodysDir(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	if os.Geteuid() != 0 {
		return dir
	}
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command is a script for the shell.
func (u *toolUser) command(script string) *exec.Cmd {
	c := exec.Command("bash", "-euo", "pipefail", "-c", script)
	c.Dir, c.Env = u.dir, u.env
	if os.Geteuid() == 0 && !u.isRoot {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return c
}

// run runs a script that must succeed.
func (u *toolUser) run(script string) string {
	u.t.Helper()
	output, err := u.command(script).CombinedOutput()
	if err != nil {
		u.t.Fatalf("%s: %v\n%s", script, err, output)
	}
	return string(output)
}

// refused runs a script that must fail and say something.
func (u *toolUser) refused(script, want string) {
	u.t.Helper()
	if output, err := u.command(script).CombinedOutput(); err == nil || !strings.Contains(string(output), want) {
		u.t.Errorf("%s: %v, wanted %q\n%s", script, err, want, output)
	}
}

// wasRefused fails the test if the filter has refused something.
func (u *toolUser) wasRefused(log *journal) {
	u.t.Helper()
	if said := log.String(); strings.Contains(said, "denied") {
		u.t.Errorf("something was denied:\n%s", said)
	}
}

// section is what a page says to type under a heading.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut("\n"+string(text), "\n"+heading+"\n")
	part, _, _ = strings.Cut(part, "\n## ")
	var typed strings.Builder
	for _, fenced := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(part, -1) {
		typed.WriteString(fenced[1])
	}
	if !found || typed.Len() == 0 {
		t.Fatalf("%s says nothing to type under %q", page, heading)
	}
	return typed.String()
}

// The way that the page tells is the one that these tests take.
func TestPageTellsWay(t *testing.T) {
	u := &toolUser{t: t, dir: nobodysDir(t), env: []string{"PATH=" + os.Getenv("PATH")}}
	said := u.run(section(t, "tss.md", "# Programs that know nothing of tpmkey") + `echo "$TPM2TOOLS_TCTI, $TPM2OPENSSL_TCTI, $TPM2_PKCS11_TCTI"`)
	if want := "cmd:tpmkey pipe, cmd:tpmkey pipe, cmd:tpmkey pipe\n"; said != want {
		t.Errorf("%q", said)
	}
}

// tpm2-tools make and use a key, keeping it in context files from one process to the next: unchanged, as nobody, under the default filter.
func TestTPM2Tools(t *testing.T) {
	tpmtest.Need(t, "tpm2_createprimary", "openssl")
	path, log, _ := start(t, tpmtest.SWTPM(t))
	u := newToolUser(t, path)
	u.run(section(t, "tss.md", "## tpm2-tools"))
	for script, want := range map[string]string{
		"tpm2_hash -g sha256 --hex data":                         strings.Fields(u.run("sha256sum data"))[0],
		"tpm2_getcap commands | grep -c ^TPM2_CC_":               "19\n",
		"tpm2_getcap handles-transient":                          "",
		"tpm2_getcap properties-fixed | grep -A1 TPM2_PT_FAMILY": "TPM2_PT_FAMILY_INDICATOR:\n  raw: 0x322E3000\n",
		"tpm2_getrandom 20 | wc -c":                              "20\n",
		"tpm2_flushcontext -t":                                   "",
		"tpm2_changeauth -Q -c key.ctx -C primary.ctx -r pin.priv 1234; tpm2_load -Q -C primary.ctx -u key.pub -r pin.priv -c pin.ctx;" +
			"tpm2_sign -c pin.ctx -p 1234 -g sha256 -f plain -o signature data; openssl dgst -sha256 -verify key.pem -signature signature data": "Verified OK\n",
	} {
		if said := u.run(script); said != want {
			t.Errorf("%s: %q, want %q", script, said, want)
		}
	}
	u.wasRefused(log)
}

// OpenSSL with the provider tpm2 makes a key, uses it and serves TLS 1.3 with it.
func TestTPM2OpenSSL(t *testing.T) {
	tpmtest.Need(t, "openssl")
	path, log, _ := start(t, tpmtest.SWTPM(t))
	u := newToolUser(t, path)
	typed, server, found := strings.Cut(section(t, "tss.md", "## OpenSSL"), "openssl s_server")
	if !found {
		t.Fatal("the page starts no server")
	}
	u.run("echo what is signed >data\n" + typed)
	server, _, _ = strings.Cut(server, " &\n")
	u.serveTLS(typed[:strings.Index(typed, "\n")+1] + "exec openssl s_server" + server)
	u.wasRefused(log)
}

// serveTLS runs a server, on a socket instead of a port that somebody may have, and connects a client, who checks its certificate.
func (u *toolUser) serveTLS(script string) {
	u.t.Helper()
	socket := filepath.Join(u.dir, "tls.sock")
	server := u.command(strings.ReplaceAll(script, "-accept 127.0.0.1:8443", "-unix tls.sock"))
	tpmtest.Start(u.t, server, tpmtest.Listens(socket))
	said := u.run("echo 'GET / HTTP/1.0\n' | openssl s_client -unix tls.sock -CAfile key.crt -verify_return_error -verify_hostname localhost -ign_eof 2>&1")
	for _, want := range []string{"TLSv1.3", "Verify return code: 0 (ok)", "HTTP/1.0 200 ok"} {
		if !strings.Contains(said, want) {
			u.t.Errorf("the client does not say %q:\n%s", want, said)
		}
	}
}
