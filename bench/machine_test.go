//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"tpmkey.example/bench/table"
)

// machine is what the figures depend on.
func machine(t *testing.T) []table.Fact {
	t.Helper()
	return []table.Fact{
		{Name: "measured", Value: time.Now().UTC().Format(time.DateOnly)},
		{Name: "processors", Value: fmt.Sprintf("%d × %s", runtime.NumCPU(), lineOf("/proc/cpuinfo", "model name"))},
		{Name: "system", Value: strings.Trim(lineOf("/etc/os-release", "PRETTY_NAME"), `"`) + ", " + runtime.Version()},
		{Name: "packages", Value: versions(t, "dpkg-query", "-W", "-f", "${Package} ${Version}\n", "swtpm", "libtpm2-pkcs11-1", "tpm2-abrmd", "softhsm2")},
		{Name: "modules", Value: versions(t, "go", "-C", "handshakes", "list", "-m", "github.com/foxboron/go-tpm-keyfiles", "github.com/google/go-tpm-tools", "go.step.sm/crypto")},
		{Name: "load average before", Value: load()},
	}
}

// versions is what a program says, in one line.
func versions(t *testing.T, program string, args ...string) string {
	t.Helper()
	output, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(output)), "\n"), ", ")
}

// lineOf is what a file of names and values says of a name.
func lineOf(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(strings.TrimLeft(value, " \t:="))
		}
	}
	return "unknown"
}

// load is how busy the machine is. Where others take the processors, times say little.
func load() string {
	average, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(average), " ")
	return first
}
