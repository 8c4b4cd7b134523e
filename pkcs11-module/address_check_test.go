//go:build check

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// The whole library, Go and C, under AddressSanitizer: what the core reads of a request and writes of a response is watched on both sides.
func TestAddressSanitizer(t *testing.T) {
	tpmtest.Need(t, "make", "gcc")
	build := t.TempDir()
	module, helper := filepath.Join(build, "tpmkey-pkcs11.so"), filepath.Join(build, "tpmkey-pkcs11-helper")
	for path, flags := range map[string]string{module: "-asan", helper: ""} {
		c := exec.Command("make", "-s", "-C", "..", "BUILD="+build, "libexecdir="+build, path)
		c.Env = append(os.Environ(), "GOFLAGS="+flags)
		if output, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	for _, row := range []struct{ host, mode, n string }{
		{"random", "calls", "5000"}, {"host", "null", ""}, {"host", "closed", ""}, {"host", "threads", ""}, {"host", "signals", ""}, {"host", "fork", ""},
		{"threads", "mixed", "300"}, {"forks", "descendants", "3"}, {"exits", "returns", ""},
	} {
		t.Run(row.host+" "+row.mode, func(t *testing.T) {
			program := filepath.Join(build, "host-"+row.host)
			if output, err := exec.Command("gcc", "-g", "-fsanitize=address", "-isystem", "/usr/include/p11-kit-1", "-o", program,
				"testdata/"+row.host+".c", "-ldl", "-lpthread").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			s := newShared(t)
			c := exec.Command(program, module, row.mode, row.n)
			c.Env = append(s.environment(), "TPMKEY_LOG="+filepath.Join(s.home, "log"), "ASAN_OPTIONS=detect_leaks=0:log_path="+filepath.Join(s.home, "report"))
			if output, err := c.CombinedOutput(); err != nil {
				log, _ := os.ReadFile(filepath.Join(s.home, "log"))
				t.Errorf("%v\n%s%s%s", err, output, log[max(0, len(log)-2000):], reports(s.home))
			}
		})
	}
}

// reports are what the sanitizer says. The core's threads have no standard error.
func reports(dir string) (text []byte) {
	paths, _ := filepath.Glob(filepath.Join(dir, "report.*"))
	for _, path := range paths {
		one, _ := os.ReadFile(path)
		text = append(text, one...)
	}
	return text
}
