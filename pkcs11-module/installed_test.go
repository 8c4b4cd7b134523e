package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// A module that was built for a helper elsewhere is not installed: it would fail in forked children only.
func TestInstallRefusesAnotherPrefix(t *testing.T) {
	build := "BUILD=" + filepath.Dir(module(t))
	err := makeFiles(build, "DESTDIR="+t.TempDir(), "libexecdir=/elsewhere", "install")
	if err == nil || !strings.Contains(err.Error(), "for a helper in /nowhere, not in /elsewhere") {
		t.Error(err)
	}
	if err := makeFiles(build, "libexecdir=/nowhere", "libexecdir-built"); err != nil {
		t.Error(err)
	}
}
