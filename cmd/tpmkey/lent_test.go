package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// With a bit that lends it another's rights the program does nothing: not even a new file, and no program from the caller's PATH.
func TestLentPrivileges(t *testing.T) {
	if noLentPrivileges(false) != nil || !errors.Is(noLentPrivileges(true), errLent) {
		t.Error("it does not go by who lends")
	}
	if os.Geteuid() != 0 {
		return // nobody else can make such a file of another's
	}
	dir := publicDir(t)
	ssh := filepath.Join(dir, "ssh")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\nid >"+dir+"/ran\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, bit := range []os.FileMode{0, os.ModeSetuid, os.ModeSetgid} {
		c := asNobody(t, dir, command(t, "unix:"+filepath.Join(dir, "none"), dir, "doctor"))
		c.Env = append(c.Env, "PATH="+dir)
		if err := os.Chmod(c.Path, 0o755|bit); err != nil {
			t.Fatal(err)
		}
		said, err := c.CombinedOutput()
		var exit *exec.ExitError
		refused := strings.Contains(string(said), errLent.Error())
		if !errors.As(err, &exit) || refused != (bit != 0) || refused && (exit.ExitCode() != exitFailed || bytes.Count(said, []byte("\n")) != 1) {
			t.Errorf("%v: %v, %s", bit, err, said)
		}
		if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
			t.Errorf("%v: ssh was started", bit)
		}
	}
}
