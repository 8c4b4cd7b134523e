//go:build check

// Package vm has only tests: of tpmkeyd on the kernel itself, in a virtual machine. Those with the tag check start the machine; those with the tag vm run in it.
package vm

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tpmkey.example/internal/version"
	"tpmkey.example/rm/tpmtest"
)

// What the image has of this machine, besides our own package, of which nobody has edited a file.
var (
	programs = []string{"ssh", "sshd", "ssh-keygen", "/usr/bin/python3.11", "swtpm", "openssl",
		"tpm2_createprimary", "tpm2_create", "tpm2_load", "tpm2_sign", "tpm2_verifysignature", "tpm2_rsadecrypt", "tpm2_readpublic", "tpm2_getcap", "tpm2_dictionarylockout",
		"tpm2_getrandom", "tpm2_flushcontext"}
	modules = []string{"fs/fuse/fuse.ko", "fs/fuse/cuse.ko", "drivers/char/tpm/tpm_vtpm_proxy.ko"}
)

// guest chooses tests in the machine, as -run does here.
var guest = flag.String("guest", ".", "the tests to run in the machine, as for -run; without blanks")

// exitOK is how QEMU ends when 0x10 is written to its exit device.
const exitOK = 33

// patience is far more than the machine takes. Under it the test would hang for ever when the kernel does.
const patience = 15 * time.Minute

// What runs in the machine shows here as if it ran here: a subtest for each of its tests.
func TestVirtualMachine(t *testing.T) {
	tpmtest.Need(t, "qemu-system-x86_64", "swtpm", "busybox", "go", "dpkg-deb")
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, makeImage(t, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	results := runMachine(t, dir, initrd)
	if len(results) == 0 {
		t.Error("no test has run in the machine")
	}
	for _, r := range results {
		t.Run(r.name, func(t *testing.T) {
			t.Log(r.text)
			if !r.passed {
				t.Fail()
			}
		})
	}
}

// kernel is Debian's, as make unpacks it, and the folder of its modules.
func kernel(t *testing.T) (path, modules string) {
	t.Helper()
	const boot = "../build/kernel/boot/vmlinuz-"
	paths, err := filepath.Glob(boot + "*-amd64")
	if err != nil || len(paths) != 1 {
		tpmtest.Missing(t, "no "+boot+"*-amd64: run make build/kernel")
	}
	return paths[0], filepath.Join("../build/kernel/lib/modules", strings.TrimPrefix(paths[0], boot), "kernel")
}

func makeImage(t *testing.T, dir string) []byte {
	t.Helper()
	i := newImage(t)
	_, folder := kernel(t)
	for _, m := range modules {
		i.copyAs("/modules/"+filepath.Base(m), filepath.Join(folder, m))
	}
	i.copyNamed(programs...)
	i.copyProgram("/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0")
	i.copyAs("/bin/busybox", "/usr/bin/busybox")
	python := func(name string) bool {
		return slices.Contains([]string{"__pycache__", "test", "idlelib", "lib2to3", "tkinter", "ensurepip", "turtledemo", "pydoc_data", "distutils", "dist-packages", "site-packages"}, name) ||
			strings.HasPrefix(name, "config-3")
	}
	i.copyTree("/usr/lib/python3.11", python)
	build, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"tpm2.py", "tpm2_tests.py"} {
		i.copyAs("/selftests/"+file, filepath.Join(build, "selftests", file))
	}
	i.unpack(filepath.Join(build, "packages", "tpmkey_"+version.Number+"-1_amd64.deb"))
	i.libraries(filepath.Join(build, "tpmkey-pkcs11.so"))
	i.copyAs("/tpmkey/guest", compileGuest(t, dir))
	for name, content := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/var/user:/bin/sh\nsshd:x:101:65534::/run/sshd:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"/etc/group":  "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
		"/etc/shells": "/bin/sh\n",
	} {
		i.write(name, text, []byte(content))
	}
	i.copy("/etc/ssl/openssl.cnf")
	i.copyAs("/init", "testdata/init")
	for _, name := range []string{"root/x", "var/user/x", "proc/x", "sys/x", "dev/x", "tmp/x", "run/sshd/x", "var/lib/x", "usr/local/bin/x"} {
		i.parents(name)
	}
	return i.bytes()
}

// compileGuest makes the program whose tests run in the machine.
func compileGuest(t *testing.T, dir string) string {
	t.Helper()
	guest := filepath.Join(dir, "guest")
	c := exec.Command("go", "test", "-c", "-trimpath", "-buildvcs=false", "-tags", "vm", "-o", guest, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return guest
}

// runMachine starts a chip and a machine that has it, and waits until the machine switches itself off.
func runMachine(t *testing.T, dir, initrd string) []result {
	t.Helper()
	console, report, control := filepath.Join(dir, "console"), filepath.Join(dir, "report"), filepath.Join(dir, "control.sock")
	chip := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,path="+control, "--terminate")
	tpmtest.Start(t, chip, func() error { _, err := os.Stat(control); return err })
	path, _ := kernel(t)
	// Without the kernel's mitigations: what they cost an emulated processor is many times what they cost a real one, which would hide all other costs.
	machine := exec.Command("qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1024", "-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", path, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 mitigations=off quiet tsc=unstable guest="+*guest,
		"-serial", "file:"+console, "-serial", "file:"+report,
		"-chardev", "socket,id=control,path="+control, "-tpmdev", "emulator,id=chip,chardev=control", "-device", "tpm-crb,tpmdev=chip",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04")
	machine.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	machine.Stderr = &said
	timer := time.AfterFunc(patience, func() { machine.Process.Kill() })
	defer timer.Stop()
	err := machine.Run()
	reported, _ := os.ReadFile(report)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitOK {
		log, _ := os.ReadFile(console)
		t.Errorf("the machine ended with %v: %s\n%s\nits tests:\n%s", err, &said, tail(log), tail(reported))
	}
	return parseResults(t, reported)
}

func tail(b []byte) []byte { return b[max(0, len(b)-5000):] }

// A result is what one test in the machine came to, and what it said.
type result struct {
	name   string
	passed bool
	text   string
}

var (
	began = regexp.MustCompile(`^=== RUN +(\S+)$`)
	ended = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(`)
)

// parseResults reads what a test binary prints with -test.v. A test that was skipped has not passed, nor has one that began and did not end.
func parseResults(t *testing.T, report []byte) []result {
	t.Helper()
	var results []result
	var said strings.Builder
	running := ""
	for lines := bufio.NewScanner(bytes.NewReader(report)); lines.Scan(); {
		line := strings.TrimSuffix(lines.Text(), "\r")
		fmt.Fprintln(&said, line)
		if m := began.FindStringSubmatch(line); m != nil && !strings.Contains(m[1], "/") {
			running = m[1]
		}
		if m := ended.FindStringSubmatch(line); m != nil && m[2] == running {
			results = append(results, result{running, m[1] == "PASS", said.String()})
			running = ""
			said.Reset()
		}
	}
	if running != "" {
		results = append(results, result{running, false, said.String() + "it did not end\n"})
	}
	return results
}

func TestParseResults(t *testing.T) {
	const report = "=== RUN   TestA\r\n    a.go:1: hello\r\n=== RUN   TestA/part\r\n--- PASS: TestA (0.10s)\r\n    --- PASS: TestA/part (0.00s)\r\n" +
		"=== RUN   TestB\n--- FAIL: TestB (1.00s)\n=== RUN   TestC\n--- SKIP: TestC (0.00s)\n=== RUN   TestD\npanic\n"
	var got []string
	for _, r := range parseResults(t, []byte(report)) {
		got = append(got, fmt.Sprint(r.name, r.passed))
	}
	if want := []string{"TestAtrue", "TestBfalse", "TestCfalse", "TestDfalse"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
