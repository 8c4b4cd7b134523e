//go:build check

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// mostExposure is what systemd may say of a service at most, in tenths of its points.
const mostExposure = "20"

// The units are well-formed, refer to one another, and leave the services little that they could do.
func TestUnits(t *testing.T) {
	tpmtest.Need(t, "systemd-analyze")
	dir := t.TempDir()
	units, err := filepath.Glob("units/*.s*") // not the rules of udev, nor the list of modules
	if err != nil || len(units) != 5 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, program := range []string{"tpmkeyd", "tpmkeyd-metrics"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"verify", "--man=no"}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/sbin", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	output, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil || strings.Contains(string(output), "tpmkey") { // it also says what is wrong with those of other packages
		t.Errorf("verify: %v\n%s", err, output)
	}
	for _, service := range []string{"tpmkeyd.service", "tpmkeyd-metrics.service"} {
		c := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold="+mostExposure, filepath.Join(dir, service))
		output, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "Overall exposure level for "+service) {
			t.Errorf("security: %v\n%s", err, output)
		}
	}
}
