package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// upgrades has a row for each course of an upgrade under a running host: its steps, at the end of which a forked child works or fails. The parent always
// works on. What was opened at the first C_Initialize stays the pair.
var upgrades = []struct {
	steps  string
	asRoot bool // only root may chroot
}{
	{"initialize works replace works", false},
	{"initialize replace works", false},
	{"initialize remove works", false},
	{"initialize overwrite fails", false},
	{"initialize replace closefrom fails", false},
	{"initialize closefrom works", false},
	{"initialize remove closefrom fails", false},
	{"replace initialize fails", false},
	{"remove initialize fails", false},
	{"initialize chroot works", true},
	{"initialize replace chroot works", true},
	{"initialize chroot replace works", true},
	{"initialize chroot closefrom fails", true},
	{"initialize replace chroot closefrom fails", true},
	{"chroot initialize fails", true},
	{"replace chroot initialize fails", true},
}

// otherHelpers are programs that a module must refuse.
var otherHelpers = map[string]func() (string, error){
	"another build": sync.OnceValues(func() (string, error) {
		helper := filepath.Join(buildDir, "helper-of-another-build")
		return helper, run("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X main.build=1", "-o", helper, "../cmd/tpmkey-pkcs11-helper")
	}),
	"another version": sync.OnceValues(func() (string, error) {
		helper := filepath.Join(buildDir, "helper-of-another-version")
		return helper, run("gcc", "-Wall", "-Wextra", "-Werror", "-static", "-o", helper, "testdata/newer.c")
	}),
}

func run(name string, arguments ...string) error {
	output, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		os.Stderr.Write(output)
	}
	return err
}

// An upgrade while a host runs and forks: the child gets the helper that it had, or an error, and never one that speaks otherwise.
func TestUpgrades(t *testing.T) {
	s := newShared(t)
	for name, helper := range otherHelpers {
		path, err := helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range upgrades {
			if !row.asRoot || os.Getuid() == 0 {
				t.Run(name+" "+row.steps, func(t *testing.T) { s.upgrade(t, path, strings.Fields(row.steps)) })
			}
		}
	}
}

func (s *setting) upgrade(t *testing.T, newHelper string, steps []string) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for to, from := range map[string]string{
		"tpmkey-pkcs11.so": module(t), "tpmkey-pkcs11-helper": filepath.Join(buildDir, "tpmkey-pkcs11-helper"), "new.so": "/bin/true", "new-helper": newHelper,
	} {
		if err := run("cp", from, in(to)); err != nil {
			t.Fatal(err)
		}
	}
	// The files of the old root are in the new one, where they were, but for the helper.
	root := in("root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.home, filepath.Dir(strings.TrimPrefix(s.spec, "broker:")), in("tpmkey-pkcs11.so"), in("tpmkey-pkcs11-helper"), in("new.so"), in("new-helper")} {
		c := exec.Command("cp", "--archive", "--link", "--parents", strings.TrimPrefix(path, "/"), root)
		c.Dir = "/"
		if output, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	if err := run("cp", "--remove-destination", newHelper, filepath.Join(root, in("tpmkey-pkcs11-helper"))); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(hostInC(t, "upgrade"), append([]string{in("tpmkey-pkcs11.so"), in("tpmkey-pkcs11-helper"), in("new.so"), in("new-helper"), root}, steps...)...)
	c.Env = append(s.environment(), "TPMKEY_LOG="+filepath.Join(s.home, "log"))
	if output, err := c.CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("%v\n%s", err, output)
	}
}

// The log says why a helper is refused, wherever it still can.
func TestUpgradeLog(t *testing.T) {
	module(t) // makes buildDir
	helper, err := otherHelpers["another build"]()
	if err != nil {
		t.Fatal(err)
	}
	s := newShared(t)
	log := filepath.Join(s.home, "log")
	s.upgrade(t, helper, []string{"replace", "initialize", "fails"})
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "start this program anew") {
		t.Errorf("the log says %q, %v", text, err)
	}
}
