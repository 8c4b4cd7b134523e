package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// buildTool builds tpmkey, for anybody to run.
func buildTool(t *testing.T, dir string) string { return buildProgram(t, dir, "tpmkey") }

func buildProgram(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if output, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "../"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return path
}

// tpmkey run starts programs of other users with a descriptor, which has the filter that was asked for, whatever the user's own is.
func TestRun(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	s := serveWith(t, "")
	tool := buildTool(t, s.dir)
	for name, text := range map[string]string{"mine": "profile mine from use: less\n", "far.toml": unreachable} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	random := `printf '\200\001\000\000\000\014\000\000\001\173\000\010' >&3; head -c 10 <&3 | od -An -tx1`
	pcrs := `printf '\200\001\000\000\000\016\000\000\001\176\000\000\000\000' >&3; head -c 10 <&3 | od -An -tx1`
	namespaces := tool + " namespace list -file far.toml -control " + s.socket("control.sock") + " 2>&1"
	for _, row := range []struct {
		name  string
		flags string
		run   []string
		says  string
		fails string
	}{
		{"random bytes", "-user nobody", []string{"sh", "-c", random}, " 80 01 00 00 00 14 00 00 00 00\n", ""},
		{"its user", "-user nobody", []string{"sh", "-c", "id -u; id -g; echo $TPMKEY_DEVICE $USER $LISTEN_FDS; grep CapEff /proc/self/status"}, "65534\n65534\nfd:3 nobody\nCapEff:\t0000000000000000\n", ""},
		{"a user by number", "-user 65534", []string{"id", "-u"}, "65534\n", ""},
		{"what the filter refuses", "-user nobody", []string{"sh", "-c", pcrs}, " 80 01 00 00 00 0a 00 0b 01 43\n", ""},
		{"what the filter lets through", "-user nobody -filter all", []string{"sh", "-c", pcrs}, " 80 01 00 00 00 16 00 00 00 00\n", ""},
		{"a filter from a file", "-user nobody -filter " + filepath.Join(s.dir, "mine") + " -seal -chip 0 -locality 0", []string{"sh", "-c", pcrs}, " 80 01 00 00 00 0a 00 0b 01 43\n", ""},
		{"a program that uses it", "-user nobody -filter use", []string{tool, "device"}, "fd:3", ""},
		{"who uses it", "-user root", []string{tool, "top", "-once", "-control", s.socket("control.sock")}, "USER", ""},
		{"who uses it, for programs", "-user root", []string{tool, "top", "-json", "-control", s.socket("control.sock")}, `"uid": 65534,`, ""},
		{"whom it refuses", "-user root", []string{"sh", "-c", namespaces}, "hint: the callers of namespace far are refused: there is no chip 7; there are: 0\ntpmkey: hint: the callers of namespace high are refused: locality 3: nothing but 0", ""},
		{"whom it refuses, for users", "-user nobody", []string{"sh", "-c", namespaces}, "hint: whether tpmkeyd has the chip and the locality of namespace far only root is told; put sudo before it\n", ""},
		{"root", "", []string{"id", "-u"}, "0\n", ""},
		{"a missing chip", "-chip 7", []string{"id"}, "", "control.sock: there is no chip 7; there are: 0"},
		{"no locality", "-locality 3", []string{"id"}, "", "locality 3: nothing but 0 reaches this chip"},
		{"not a locality", "-locality 9", []string{"id"}, "", "not a locality: those are 0 to 4"},
		{"no such user", "-user nobody-at-all", []string{"id"}, "", `there is no user "nobody-at-all" on this machine`},
		{"no such program", "-user nobody", []string{"/none/such"}, "", "/none/such: no such file or directory"},
		{"no such filter", "-filter rsq", []string{"id"}, "", `"rsq" is none of the profiles`},
		{"no program", "", nil, "", "it needs a program: tpmkey run -filter use -- PROGRAM"},
		{"no service", "-control /none/control.sock", []string{"id"}, "", "tpmkeyd does not run there: sudo systemctl start tpmkeyd"},
	} {
		args := append([]string{"run", "-control", s.socket("control.sock")}, strings.Fields(row.flags)...)
		c := exec.Command(tool, append(append(args, "--"), row.run...)...)
		c.Dir = s.dir
		c.Env = append(os.Environ(), "LISTEN_FDS=1", "SUDO_UID=")
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		err := c.Run()
		if (err == nil) != (row.fails == "") || !strings.Contains(stdout.String(), row.says) || !strings.Contains(stderr.String(), row.fails) {
			t.Errorf("%s: %v, %q, %q; want %q, %q", row.name, err, &stdout, &stderr, row.says, row.fails)
		}
	}
}

// Who has called sudo is whose program it is, and a user asks for nothing.
func TestRunUnderSudo(t *testing.T) {
	tpmtest.Root(t, "to be another user")
	s := serveWith(t, "")
	tool := buildTool(t, s.dir)
	c := exec.Command(tool, "run", "-control", s.socket("control.sock"), "--", "id", "-u")
	c.Dir, c.Env = s.dir, append(os.Environ(), "SUDO_UID=65534")
	if output, err := c.CombinedOutput(); err != nil || string(output) != "65534\n" {
		t.Errorf("under sudo: %v, %q", err, output)
	}
	c = exec.Command(tool, "run", "--", "id")
	c.Dir, c.SysProcAttr = s.dir, asUser(65534)
	if output, err := c.CombinedOutput(); err == nil || !strings.Contains(string(output), "only root asks for descriptors; put sudo before it") {
		t.Errorf("a user: %v, %q", err, output)
	}
}
