package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// closedOutputs are what standard output can be that takes nothing.
var closedOutputs = map[string]func(*testing.T) *os.File{
	"a pipe that nobody reads": func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		return w
	},
	"a full disk": func(t *testing.T) *os.File {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return full
	},
}

// printing are command lines that print something. They run one after the other.
var printing = [][]string{
	{"new", "demo"}, {"list"}, {"show", "demo"}, {"pub", "demo"}, {"pub", "-pem", "demo"}, {"device"}, {"version"}, {"help"}, {"help", "new"},
	{"list", "-json"}, {"show", "-json", "demo"}, {"pub", "-json", "demo"}, {"device", "-json"}, {"list", "-names"},
	{"sign", "demo", "output_test.go"}, {"sign", "-base64", "demo", "output_test.go"}, {"csr", "demo"}, {"completion", "bash"}, {"doctor"}, {"doctor", "-json"},
	{"ssh", "-dry-run", "-config", "/nonexistent/config", "-module", "output_test.go"},
}

// Output that cannot be written makes one error and exit status 1, for every verb; where nobody reads it any more there is nobody to be told.
func TestClosedOutput(t *testing.T) {
	spec := tpmtest.Simulator(t)
	for name, open := range closedOutputs {
		store := t.TempDir()
		for _, args := range printing {
			stdout := open(t)
			c := command(t, spec, store, args...)
			var stderr bytes.Buffer
			c.Stdout, c.Stderr = stdout, &stderr
			err := c.Run()
			stdout.Close()
			var exit *exec.ExitError
			if strings.Contains(name, "pipe") { // as other programs die of SIGPIPE
				if !errors.As(err, &exit) || exit.ExitCode() != exitBrokenPipe || bytes.Contains(stderr.Bytes(), []byte("error")) {
					t.Errorf("%v into %s: %v, said %q", args, name, err, &stderr)
				}
				continue
			}
			if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || bytes.Count(stderr.Bytes(), []byte("tpmkey: error: write the output: ")) != 1 {
				t.Errorf("%v into %s: %v, said %q", args, name, err, &stderr)
			}
		}
	}
}
