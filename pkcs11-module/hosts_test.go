package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tpmkey.example/rm/tpmtest"
)

// hosts compiles a host of testdata once for all tests.
var hosts = struct {
	sync.Mutex
	programs map[string]string
}{programs: map[string]string{}}

func hostInC(t testing.TB, name string) string {
	t.Helper()
	module(t) // makes buildDir
	hosts.Lock()
	defer hosts.Unlock()
	if program := hosts.programs[name]; program != "" {
		return program
	}
	program := filepath.Join(buildDir, "host-"+name)
	output, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-I/usr/include/p11-kit-1", "-o", program, "testdata/"+name+".c", "-ldl", "-lpthread").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	hosts.programs[name] = program
	return program
}

// daemon is tpmkeyd, built once for all tests.
var daemon = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(buildDir, "tpmkeyd"), "../cmd/tpmkeyd").CombinedOutput()
})

// newShared is a setting for hosts of many processes: tpmkeyd shares the chip among them.
func newShared(t testing.TB) *setting {
	t.Helper()
	module(t)
	if output, err := daemon(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	s := newSetting(t, true)
	dir := t.TempDir()
	socket := filepath.Join(dir, "tpms.sock")
	command := exec.Command(filepath.Join(buildDir, "tpmkeyd"), "-device", s.spec, "-listen", socket, "-state", filepath.Join(dir, "state"))
	tpmtest.Start(t, command, tpmtest.Listens(socket))
	s.spec = "broker:" + socket
	return s
}

// runHost wants a mode of a host to end well and to say nothing, and no helper to be left.
func (s *setting) runHost(t *testing.T, host, mode string, argument int) {
	t.Helper()
	s.runHostOf(t, module(t), host, mode, argument)
}

func (s *setting) runHostOf(t *testing.T, module, host, mode string, argument int) {
	t.Helper()
	c := exec.Command(hostInC(t, host), module, mode, strconv.Itoa(argument))
	c.Env = append(s.environment(), "TPMKEY_LOG="+filepath.Join(s.home, "log"))
	if output, err := c.CombinedOutput(); err != nil || len(output) > 0 {
		log, _ := os.ReadFile(filepath.Join(s.home, "log"))
		t.Errorf("%v\n%s%s", err, output, log)
	}
	noHelpers(t)
}

// helpers lists the processes that run this test's helper.
func helpers(t testing.TB) (pids []int) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil || len(processes) == 0 {
		t.Fatal("processes: ", err)
	}
	for _, process := range processes {
		program, _ := os.Readlink(process)
		if strings.TrimSuffix(program, " (deleted)") == filepath.Join(buildDir, "tpmkey-pkcs11-helper") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(process)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// noHelpers waits for those whose host has ended: they take leave of the chip.
func noHelpers(t testing.TB) {
	t.Helper()
	var left []int
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if left = helpers(t); len(left) == 0 {
			return
		}
	}
	t.Errorf("helpers %v outlive their hosts", left)
}

// Hosts that fork.
func TestForks(t *testing.T) {
	for mode, n := range map[string]int{"direct": children, "finalize": children, "many": signatures, "uninitialized": 10000, "descendants": 3, "interrupted": 20} {
		t.Run(mode, func(t *testing.T) { newShared(t).runHost(t, "forks", mode, n) })
	}
}

// Hosts that watch what the module does to them.
func TestDisturbances(t *testing.T) {
	for _, row := range []struct {
		mode string
		n    int
	}{{"load", 0}, {"cycle", rounds}, {"signals", 20}, {"handlers", 0}, {"handlers", 1}} {
		t.Run(row.mode, func(t *testing.T) { newShared(t).runHost(t, "disturb", row.mode, row.n) })
	}
}

// Hosts that wait for a token, in a process where Go runs and in a child where it cannot.
func TestWaits(t *testing.T) {
	for _, mode := range []string{"event", "finalize"} {
		t.Run(mode, func(t *testing.T) { newShared(t).runHost(t, "waits", mode, 0) })
	}
}

// Hosts and helpers that lose one another.
func TestLost(t *testing.T) {
	for _, mode := range []string{"quiet", "exit", "killed", "closed", "reused", "sockets", "died", "group"} {
		t.Run(mode, func(t *testing.T) { newShared(t).runHost(t, "lost", mode, 0) })
	}
}

// Hosts with threads, in a process where Go runs and in a child where it cannot.
func TestThreads(t *testing.T) {
	for mode, n := range map[string]int{"mixed": calls, "arguments": 0, "cancel": 5, "few": 10000} {
		t.Run(mode, func(t *testing.T) { newShared(t).runHost(t, "threads", mode, n) })
	}
}

// A helper that does not belong to the module is not used, and a module without one works in all but forked children.
func TestStrangeHelper(t *testing.T) {
	for name, make := range map[string]func(helper string) ([]byte, error){
		"none": func(string) ([]byte, error) { return nil, nil },
		"another build": func(helper string) ([]byte, error) {
			return exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X main.build=1", "-o", helper, "../cmd/tpmkey-pkcs11-helper").CombinedOutput()
		},
		"another program": func(helper string) ([]byte, error) { return exec.Command("cp", "/bin/cat", helper).CombinedOutput() },
		"no program":      func(helper string) ([]byte, error) { return nil, os.WriteFile(helper, []byte("text"), 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copied := filepath.Join(dir, "tpmkey-pkcs11.so")
			if output, err := exec.Command("cp", module(t), copied).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			if output, err := make(filepath.Join(dir, "tpmkey-pkcs11-helper")); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			newShared(t).runHostOf(t, copied, "lost", "stranger", 0)
		})
	}
}

// A host that has logged out, whose PIN is nowhere.
func TestSecrets(t *testing.T) { newShared(t).runHost(t, "secrets", "login", 0) }
