package tpmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Simulator starts a tpmkey-sim of the test's own and returns its spec. It serves
// any number of connections, one command at a time.
func Simulator(t testing.TB) string {
	t.Helper()
	program, err := simulatorProgram()
	if err != nil {
		Missing(t, err.Error())
	}
	path := filepath.Join(shortDir(t), "data.sock")
	Start(t, exec.Command(program, "-listen", path), Listens(path))
	return "unix:" + path
}

// simulatorProgram builds tpmkey-sim, once per test binary. The program has no
// name, only a descriptor that stays open, so nothing is left behind.
var simulatorProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "tpmkey-sim")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "tpmkey.example/cmd/tpmkey-sim")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if output, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(errors.New("tpmkey-sim cannot be built (needs gcc and libssl-dev)"), err, errors.New(string(output)))
	}
	file, err := os.Open(program)
	if err != nil {
		return "", err
	}
	openPrograms = append(openPrograms, file)
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd()), nil
})

// openPrograms keeps the files from being closed as garbage.
var openPrograms []*os.File

// Emulators runs the body once on each emulator, as subtests "swtpm" and
// "simulator", each time with the spec of a fresh chip.
func Emulators(t *testing.T, body func(t *testing.T, spec string)) {
	t.Run("swtpm", func(t *testing.T) { body(t, SWTPM(t)) })
	t.Run("simulator", func(t *testing.T) { body(t, Simulator(t)) })
}
