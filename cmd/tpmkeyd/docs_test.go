package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tpmkey.example/namespace"
	"tpmkey.example/rm/tpmtest"
)

// blocks are the pieces of a page that are marked as one language.
func blocks(t *testing.T, page, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("%s has no %s", page, language)
	}
	return found
}

// startMetrics has the program that tells metrics do so at a socket that it is handed, until the test ends.
func startMetrics(t *testing.T, s *served) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.socket("metrics.sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, buildProgram(t, s.dir, "tpmkeyd-metrics"), "-control", s.socket("control.sock"))
	c.Env, c.ExtraFiles, c.Stderr = append(os.Environ(), "LISTEN_FDS=1"), []*os.File{file}, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait(); os.Remove(s.socket("metrics.sock")) })
}

const page = "../../docs/tpmkeyd.md"

// The commands of the administrator's page do what it says, with the namespaces that stand there. What needs a running systemd is marked as console.
func TestDocumentedCommands(t *testing.T) {
	if os.Geteuid() != 0 {
		tpmtest.Missing(t, "root, to be another user")
	}
	tpmtest.Need(t, "curl")
	s := serveWith(t, "")
	startMetrics(t, s)
	buildTool(t, s.dir)
	file := filepath.Join(s.dir, "page.toml")
	if err := os.WriteFile(file, []byte(blocks(t, page, "toml")[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("sudo ", "", "/run/tpmkey/metrics.sock", s.socket("metrics.sock"),
		"tpmkey namespace ", "tpmkey namespace -file "+file+" ", "tpmkey run ", "tpmkey run -control "+s.socket("control.sock")+" ", "tpmkey top ", "tpmkey top -control "+s.socket("control.sock")+" ", "tpmkeyd-metrics", "tpmkeyd-metrics -control "+s.socket("control.sock"))
	for _, block := range blocks(t, page, "sh") {
		for line := range strings.Lines(block) {
			c := exec.Command("sh", "-c", here.Replace(line))
			c.Dir = s.dir
			c.Env = append(os.Environ(), "PATH="+s.dir+":"+os.Getenv("PATH"), "TPMKEY_DEVICE=broker:"+s.path)
			if output, err := c.CombinedOutput(); err != nil || len(output) == 0 {
				t.Errorf("%s: %v\n%s", strings.TrimSpace(line), err, output)
			}
		}
	}
}

// What the page says of namespaces is right.
func TestDocumentedNamespaces(t *testing.T) {
	set, err := namespace.Parse(blocks(t, page, "toml")[0], readFilter)
	if err != nil {
		t.Fatal(err)
	}
	box, err := namespace.Parse(blocks(t, page, "toml")[1], readFilter)
	if err != nil || len(box.VTPMs()) != 1 {
		t.Errorf("the container with a TPM of its own: %+v, %v", box, err)
	}
	for _, row := range []struct {
		who  namespace.Caller
		want string
	}{
		{namespace.Caller{UID: 2500, Cgroups: []string{"/system.slice/nginx.service"}}, "web"},
		{namespace.Caller{UID: 2500, GIDs: []uint32{500}}, "curves"},
		{namespace.Caller{UID: 7, Socket: "/run/tpmkey/container.sock"}, "container"},
	} {
		if n, _ := set.Of(row.who); n == nil || n.Name != row.want {
			t.Errorf("%+v: %+v, want %s", row.who, n, row.want)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{errNotForHim.Error(), "more than 256 connections", "there is no chip 1", "nothing but 0 reaches this chip"} {
		if !strings.Contains(string(text), said) {
			t.Errorf("the page does not tell what to do about %q", said)
		}
	}
}
