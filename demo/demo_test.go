//go:build check

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// folder is the temporary folder of a demo, which its commands name.
var folder = regexp.MustCompile(`/[^ ]*/tpmkey-demo[0-9]+`)

// startDemo runs what make demo runs.
func startDemo(t *testing.T) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	command := exec.Command("../build/demo/demo", "-build", "../build")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return command, bufio.NewReader(output)
}

// checkNothingIsLeft looks for the demo's folder, and for processes that name it.
func checkNothingIsLeft(t *testing.T, output string) {
	t.Helper()
	dir := folder.FindString(output)
	if dir == "" {
		t.Fatalf("no temporary folder in the output %s", output)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is left behind", dir)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("no processes to be seen (%v)", err)
	}
	for _, file := range lines {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), dir) {
			t.Errorf("%s still runs: %q", file, line)
		}
	}
}

func TestDemo(t *testing.T) {
	command, stdout := startDemo(t)
	output, err := io.ReadAll(stdout)
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v after\n%s", err, output)
	}
	for _, want := range []string{
		"not a TPM", "ssh-rsa ", "Accepted publickey", "Verification: OK", "TLSv1.3",
		"0x000B0143", "denied uid=", "Nothing is left behind",
		"-state " + folder.FindString(string(output)),
	} {
		if !strings.Contains(string(output), want) {
			t.Errorf("no %q in\n%s", want, output)
		}
	}
	checkNothingIsLeft(t, string(output))
}

func TestInterruptedDemo(t *testing.T) {
	for number := range steps {
		title := fmt.Sprintf("%d. ", number+1)
		t.Run(title, func(t *testing.T) {
			command, stdout := startDemo(t)
			output := readThrough(t, stdout, title)
			command.Process.Signal(syscall.SIGINT)
			command.Process.Signal(syscall.SIGINT) // as make and the terminal both do
			rest, err := io.ReadAll(stdout)
			if err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err == nil && !strings.Contains(string(rest), "Done") {
				t.Error("an interrupted demo ends well")
			}
			checkNothingIsLeft(t, output+string(rest))
		})
	}
}

// readThrough reads the title of a step and one more line, the step's command.
func readThrough(t *testing.T, r *bufio.Reader, title string) string {
	t.Helper()
	var output strings.Builder
	for found := false; ; {
		line, err := r.ReadString('\n')
		output.WriteString(line)
		if err != nil {
			t.Fatalf("%v after\n%s", err, &output)
		}
		if found {
			return output.String()
		}
		found = strings.HasPrefix(line, title)
	}
}
