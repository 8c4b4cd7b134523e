//go:build vm

package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	node = "/dev/tpms"
	user = 1000 // of /etc/passwd
)

// TestMain serves the machine's chip while the tests run, unless it is one of the tests' own programs.
func TestMain(m *testing.M) {
	if run := acts[os.Getenv(act)]; run != nil {
		run(os.Args[1:])
		os.Exit(0)
	}
	code := 1
	if d, err := startDaemon("tpmkeyd"); err != nil {
		fmt.Println(err)
	} else {
		theDaemon = d
		code = m.Run()
		theDaemon.Process.Kill()
	}
	os.Exit(code)
}

// act names what a test's own program does when it is this one that is started again.
const act = "GUEST_ACT"

var acts = map[string]func(args []string){}

// theDaemon is the tpmkeyd that most tests use.
var theDaemon *exec.Cmd

// startDaemon starts a tpmkeyd as an administrator would who has a strict umask, and waits for its node.
func startDaemon(args ...string) (*exec.Cmd, error) {
	name := node
	for i, a := range args {
		if a == "-node" {
			name = "/dev/" + args[i+1]
		}
	}
	c := exec.Command("sh", append([]string{"-c", `umask 077; exec "$@"`, "sh"}, args...)...)
	log, err := os.Create("/tmp/" + strings.TrimPrefix(name, "/dev/") + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if info, err := os.Stat(name); err == nil && info.Mode().Perm() == 0o666 {
			return c, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.Process.Kill()
	c.Wait()
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("there is no %s: %s", name, text)
}

// restart replaces the tpmkeyd by one with other arguments, until the test ends.
func restart(t *testing.T, args ...string) {
	t.Helper()
	replace := func(args ...string) {
		theDaemon.Process.Signal(unix.SIGTERM)
		theDaemon.Wait()
		d, err := startDaemon(append([]string{"tpmkeyd"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		theDaemon = d
	}
	replace(args...)
	t.Cleanup(func() { replace() })
}

// A person runs programs in a home of his own.
type person struct {
	t   *testing.T
	uid uint32
	dir string
	env []string
}

// as is uid 1000 or another, with a new folder.
func as(t *testing.T, uid uint32) *person {
	t.Helper()
	p := &person{t: t, uid: uid, dir: t.TempDir()}
	if err := os.Chmod(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for dir := p.dir; strings.HasPrefix(dir, "/tmp/"); dir = dir[:strings.LastIndex(dir, "/")] {
		os.Chmod(dir, 0o755)
	}
	if err := os.Chown(p.dir, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), "HOME="+p.dir, "XDG_DATA_HOME="+p.dir, "TPM2TOOLS_TCTI=device:"+node)
	return p
}

func (p *person) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir, c.Env = p.dir, p.env
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.uid}}
	return c
}

// do runs a program that must succeed, and gives what it says.
func (p *person) do(name string, args ...string) string {
	p.t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// fail runs a program that must not succeed.
func (p *person) fail(name string, args ...string) string {
	p.t.Helper()
	out, err := p.command(name, args...).CombinedOutput()
	if err == nil {
		p.t.Errorf("%s %s succeeded: %s", name, strings.Join(args, " "), out)
	}
	return string(out)
}

func (p *person) file(name, content string) string {
	p.t.Helper()
	path := p.dir + "/" + name
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// again is this program, to do something else.
func (p *person) again(what string, args ...string) *exec.Cmd {
	c := p.command("/tpmkey/guest", args...)
	c.Env = append(c.Env, act+"="+what)
	return c
}

// The device appears, and everybody may open it, whatever the umask of the one who started tpmkeyd.
func TestNode(t *testing.T) {
	info, err := os.Stat(node)
	if err != nil || info.Mode() != os.ModeDevice|os.ModeCharDevice|0o666 {
		t.Fatalf("%v, %v", info, err)
	}
	p := as(t, user)
	if out := p.do("tpmkey", "device"); !strings.Contains(out, node) {
		t.Errorf("tpmkey device says %s", out)
	}
}

// An RSA key from making to signing, through the tool.
func TestTool(t *testing.T) {
	p := as(t, user)
	p.do("tpmkey", "new", "k")
	p.file("data", "what is signed")
	p.do("tpmkey", "sign", "-out", "sig", "k", "data")
	p.do("sh", "-c", "tpmkey pub -pem k >k.pem; openssl dgst -sha256 -verify k.pem -signature sig data")
}

// Tpm2-tools through their device TCTI, with contexts in files.
func TestTPM2Tools(t *testing.T) {
	p := as(t, user)
	p.file("data", "what is signed")
	p.do("tpm2_createprimary", "-Q", "-c", "primary.ctx")
	p.do("tpm2_create", "-Q", "-C", "primary.ctx", "-G", "rsa2048", "-u", "key.pub", "-r", "key.priv", "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign|decrypt")
	p.do("tpm2_load", "-Q", "-C", "primary.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx")
	p.do("tpm2_sign", "-Q", "-c", "key.ctx", "-g", "sha256", "-s", "rsassa", "-f", "plain", "-o", "signature", "data")
	p.do("tpm2_readpublic", "-Q", "-c", "key.ctx", "-f", "pem", "-o", "key.pem")
	p.do("openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "data")
}

// The kernel's own tests of its resource manager, on our node in place of both of its devices.
func TestKernelSelftests(t *testing.T) {
	restart(t, "-filter", "all")
	for _, suite := range []struct {
		name  string
		cases int
	}{{"SmokeTest", 9}, {"SpaceTest", 4}, {"AsyncTest", 2}} {
		as(t, 0).do("tpm2_dictionarylockout", "-c")
		script := fmt.Sprintf("mount --bind %s /dev/tpm0 && mount --bind %s /dev/tpmrm0 && cd /selftests && "+
			"exec /usr/bin/python3.11 -m unittest -v tpm2_tests.%s", node, node, suite.name)
		c := exec.Command("sh", "-c", script)
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		out, err := c.CombinedOutput()
		if ran := bytes.Count(out, []byte("... ok\n")); err != nil || ran != suite.cases {
			t.Errorf("%s: %v, %d passed, want %d:\n%s", suite.name, err, ran, suite.cases, out)
		}
	}
}
