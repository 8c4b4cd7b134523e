package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/version"
)

// Command lines that serve nothing.
func TestCommandLines(t *testing.T) {
	for _, row := range []struct {
		args        string
		code        int
		says, fails string
	}{
		{"-h", 0, "usage: tpmkeyd [-device SPEC]... ", ""},
		{"-version", 0, "tpmkeyd " + version.Number + "\n", ""},
		{"--version", 0, "tpmkeyd " + version.Number + "\n", ""},
		{"foo", exitUsage, "", `it takes flags only, not "foo"; run: tpmkeyd -h`},
		{"-foo", exitUsage, "", "flag provided but not defined: -foo; run: tpmkeyd -h"},
		{"-idle 0s", exitUsage, "", "-idle: at least 1s; run: tpmkeyd -h"},
		{"-filter prof2", exitFailed, "", "filter: \"prof2\" is none of the profiles"},
		{"-device /nonexistent/tpm0", exitFailed, "", "open /nonexistent/tpm0: no such file or directory"},
		{"-device /dev/tpm65535", exitFailed, "", "open /dev/tpm65535: no such file or directory; see whether the firmware has a TPM switched on, or leave -device out: then each chip is served when it comes"},
	} {
		var stdout, stderr bytes.Buffer
		code := command(strings.Fields(row.args), &stdout, &stderr)
		if code != row.code || !strings.HasPrefix(stdout.String(), row.says) || !strings.Contains(stderr.String(), row.fails) {
			t.Errorf("tpmkeyd %s: %d, %q, %q", row.args, code, &stdout, &stderr)
		}
		if want := min(len(row.fails), 1); strings.Count(stderr.String(), "\n") != want || (stdout.Len() > 0) == (want > 0) {
			t.Errorf("tpmkeyd %s says %q and %q", row.args, &stdout, &stderr)
		}
	}
}

// Whoever starts it by hand and is not root is told so, and root is not.
func TestForRoot(t *testing.T) {
	denied := fmt.Errorf("listen: %w", &fs.PathError{Op: "open", Path: "/run/tpmkey/tpms.sock.lock", Err: unix.EACCES})
	for _, row := range []struct {
		err  error
		uid  int
		want string
	}{
		{denied, 1000, "listen: open /run/tpmkey/tpms.sock.lock: permission denied; the service is root's: put sudo before it"},
		{denied, 0, denied.Error()},
		{fs.ErrNotExist, 1000, fs.ErrNotExist.Error()},
	} {
		if got := forRoot(row.err, row.uid).Error(); got != row.want {
			t.Errorf("%v of %d: %s", row.err, row.uid, got)
		}
	}
}
