package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// doctor tries the module in a program in C, before a fork and in the child; without its helper the child has nobody who answers.
func TestDoctorTriesTheModule(t *testing.T) {
	s, dir := newSetting(t, true), t.TempDir()
	link := func(name string) {
		t.Helper()
		if err := os.Link(filepath.Join(buildDir, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	module(t)
	if err := makeFiles("BUILD="+buildDir, filepath.Join(buildDir, "tpmkey-probe")); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "tpmkey"), "../cmd/tpmkey")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	link("tpmkey-pkcs11.so")
	s.wantDoctor(t, dir, `warn  module-works +not checked: the module or tpmkey-probe is not installed`)
	link("tpmkey-probe")
	s.wantDoctor(t, dir, `fail  module-works +in a forked child: C_Initialize gives CKR_FUNCTION_FAILED: tpmkey-pkcs11-helper does not start`)
	link("tpmkey-pkcs11-helper")
	s.wantDoctor(t, dir, `ok    module-works +a program in C makes a key through it`)
}

func (s *setting) wantDoctor(t *testing.T, dir, want string) {
	t.Helper()
	c := exec.Command(filepath.Join(dir, "tpmkey"), "doctor")
	c.Env = s.environment()
	report, _ := c.Output() // the exit code is that of other checks, too
	if !regexp.MustCompile("(?m)^" + want).Match(report) {
		t.Errorf("no line like %q in\n%s", want, report)
	}
}
