package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProcess(t *testing.T) {
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Process.Kill()
	own, pid := uint32(os.Getuid()), int32(child.Process.Pid)
	p := processOf(pid, own)
	groups, err := p.groups()
	want, _ := os.Getgroups()
	if slices.Sort(groups); err != nil || len(groups) != len(want) {
		t.Errorf("groups %v, %v, want %v", groups, err, want)
	}
	if cgroups, err := p.cgroups(); err != nil || len(cgroups) == 0 || cgroups[0][0] != '/' {
		t.Errorf("cgroups %q, %v", cgroups, err)
	}
	if sleep, _ := exec.LookPath("sleep"); sleep != "" {
		if name, err := p.program(); err != nil || !sameFile(name, sleep) {
			t.Errorf("program %q, %v, want %s", name, err, sleep)
		}
	}
	for name, other := range map[string]process{
		"another user's": processOf(pid, own+1), "of another pid namespace": processOf(0, own), "nobody's": {}, "no process": processOf(1<<22+1, own),
	} {
		groups, err1 := other.groups()
		cgroups, err2 := other.cgroups()
		program, err3 := other.program()
		if err1 == nil || err2 == nil || err3 == nil || groups != nil || cgroups != nil {
			t.Errorf("%s: %v, %v, %q: %v, %v, %v", name, groups, cgroups, program, err1, err2, err3)
		}
	}
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// A process that has ended while it was asked about may have been another one: nothing that was read counts.
func TestProcessThatEnds(t *testing.T) {
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p := processOf(int32(child.Process.Pid), uint32(os.Getuid()))
	asked := false
	err = p.about(func(string) error {
		asked = true
		in.Close()
		return child.Wait()
	})
	if !asked || !errors.Is(err, errOtherProcess) {
		t.Errorf("asked %v, %v", asked, err)
	}
}

// A pid that is used again names another process than the one that connected: what is asked about him is refused, whoever has his number now.
func TestReusedPID(t *testing.T) {
	first := exec.Command("cat")
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(first.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	bufio.NewReader(out).ReadByte() // its input is empty: it ends
	first.Wait()
	// Its number is another process's now; the descriptor still is of the first one.
	p := process{int32(os.Getpid()), uint32(os.Getuid()), func() (int, error) { return unix.Dup(fd) }}
	if name, err := p.program(); !errors.Is(err, errOtherProcess) {
		t.Errorf("program %q, %v", name, err)
	}
}
