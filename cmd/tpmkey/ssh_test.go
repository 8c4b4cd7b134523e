package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A configuration that the user may not write is an error that says so, and stays as it is.
func TestReadOnlyConfig(t *testing.T) {
	dir := publicDir(t)
	home := filepath.Join(dir, ".ssh")
	config := filepath.Join(home, "config")
	module := filepath.Join(dir, moduleName)
	for _, err := range []error{os.Mkdir(home, 0o755), os.WriteFile(config, []byte("User me\n"), 0o644), os.WriteFile(module, nil, 0o644), os.Chmod(home, 0o555)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := asNobody(t, dir, command(t, "/nonexistent", filepath.Join(dir, "none"), "ssh", "-config", config, "-module", module))
	expectFailure(t, c, "permission denied")
	if text, err := os.ReadFile(config); err != nil || string(text) != "User me\n" {
		t.Errorf("the configuration is %q, %v", text, err)
	}
	if err := os.Chmod(home, 0o755); err != nil { // for the cleaning up
		t.Fatal(err)
	}
}

// Beside the module of this program no -module is needed, and a file that is not there yet is made.
func TestModuleBeside(t *testing.T) {
	dir := publicDir(t)
	c := command(t, "/nonexistent", dir, "ssh", "-config", filepath.Join(dir, "config"))
	program, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "lib", "x86_64-linux-gnu", "pkcs11", moduleName)
	c.Path = filepath.Join(dir, "bin", "tpmkey")
	for _, err := range []error{os.MkdirAll(filepath.Dir(module), 0o755), os.Mkdir(filepath.Dir(c.Path), 0o755), os.WriteFile(module, nil, 0o644), os.WriteFile(c.Path, program, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "config")); err != nil || string(text) != sshBlock(module) {
		t.Errorf("the configuration is %q, %v", text, err)
	}
}
