//go:build check

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

var sanitizers = []string{"-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-isystem", "/usr/include/p11-kit-1"}

// The front under AddressSanitizer and UndefinedBehaviorSanitizer: without Go, which these do not know, with the helper behind it.
func TestSanitizers(t *testing.T) {
	tpmtest.Need(t, "make", "gcc")
	build := t.TempDir()
	if err := makeFiles("BUILD="+build, "libexecdir="+build, "MUSL_CC=gcc "+strings.Join(sanitizers, " "), "build-musl"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ host, mode, n string }{
		{"random", "calls", "20000"}, {"host", "null", ""}, {"host", "closed", ""}, {"host", "threads", ""}, {"forks", "descendants", "3"}, {"waits", "finalize", ""},
	} {
		t.Run(row.host+" "+row.mode, func(t *testing.T) {
			program := filepath.Join(build, "host-"+row.host)
			if output, err := exec.Command("gcc", append(sanitizers, "-o", program, "testdata/"+row.host+".c", "-ldl", "-lpthread")...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			s := newShared(t)
			c := exec.Command(program, filepath.Join(build, "musl", "tpmkey-pkcs11.so"), row.mode, row.n)
			c.Env = append(s.environment(), "TPMKEY_LOG="+filepath.Join(s.home, "log"), "ASAN_OPTIONS=detect_leaks=0")
			if output, err := c.CombinedOutput(); err != nil {
				log, _ := os.ReadFile(filepath.Join(s.home, "log"))
				t.Errorf("%v\n%s%s", err, output, log[max(0, len(log)-2000):])
			}
		})
	}
}

// The front's own files under the same sanitizers, with hosts that are also their core.
func TestSanitizersFront(t *testing.T) {
	tpmtest.Need(t, "gcc")
	for host, options := range map[string][]string{
		"answers":  nil,
		"requests": {"-Wl,--wrap=free,--wrap=realloc", "-DMOST_BYTES=65536UL"},
	} {
		t.Run(host, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), host)
			arguments := slices.Concat(sanitizers, options, []string{"-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", program, "testdata/" + host + ".c",
				"front.c", "message.c", "request.c", "response.c", "info.c", "interface.c", "wait.c", "-ldl", "-lpthread"})
			if output, err := exec.Command("gcc", arguments...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			if output, err := exec.Command(program).CombinedOutput(); err != nil || len(output) > 0 {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}
