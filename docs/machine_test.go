package docs

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/rm/tpmtest"
)

// A machine is where the commands of a page are run: this one, with namespaces of mounts, processes and network of its own. Whatever a page installs, writes to /etc or serves on
// port 443 is there and nowhere else, and gone with it. Its TPM is emulated, its user is root, and somebody else's sshd is reached at the name "host".
//
// It is this test binary, started again, which mounts what it needs and becomes the shell.
const (
	machineVariable = "TPMKEY_DOCS_MACHINE" // the directory for what the machine changes
	sourceVariable  = "TPMKEY_DOCS_SOURCE"
	usrVariable     = "TPMKEY_DOCS_USR" // the directories that /usr is made of, the upper one first
)

// boot makes a machine out of what was installed by make and a user.
//
//go:embed testdata/boot.sh
var boot string

func TestMain(m *testing.M) {
	if dir := os.Getenv(machineVariable); dir != "" {
		fmt.Fprintln(os.Stderr, becomeMachine(dir))
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(installDir)
	os.Exit(code)
}

// installDir is where make installs what make has built, once for all machines.
var installDir string

var installed = sync.OnceValues(func() (string, error) {
	built, err := filepath.Glob("../build/*")
	if err != nil {
		return "", err
	}
	for _, file := range built {
		os.Stat(file) // so that go test runs anew when they have changed
	}
	if installDir, err = os.MkdirTemp("", "tpmkey-docs-"); err != nil {
		return "", err
	}
	if err := os.Chmod(installDir, 0o755); err != nil {
		return "", err
	}
	if output, err := exec.Command("make", "-s", "-C", "..", "GO=false", "PREFIX=/usr", "DESTDIR="+installDir, "install").CombinedOutput(); err != nil {
		return "", fmt.Errorf("make install: %w\n%s", err, output)
	}
	return installDir + "/usr", nil
})

// runOnMachine runs a script and gives what it said.
func runOnMachine(t *testing.T, script string, environment ...string) (string, error) {
	t.Helper()
	tpmtest.Root(t, "to make a machine of its own")
	patience, enough := context.WithTimeout(t.Context(), 3*time.Minute) // what a page waits for may never come
	defer enough()
	c := exec.CommandContext(patience, "/proc/self/exe")
	c.Env = append(machineEnvironment(t, slices.Contains(environment, "FROM=nothing")), append(environment, "SCRIPT="+boot+script)...)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose end would be the machine's
	defer runtime.UnlockOSThread()
	output, err := c.CombinedOutput()
	return string(output), err
}

func machineEnvironment(t *testing.T, bare bool) []string {
	t.Helper()
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	usr, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	if usr += ":/usr"; bare {
		usr = "/usr"
	}
	return []string{machineVariable + "=" + t.TempDir(), sourceVariable + "=" + source, usrVariable + "=" + usr, "CHIP=" + tpmtest.SWTPM(t),
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
}

func becomeMachine(dir string) error {
	if err := errors.Join(mountAll(dir), unix.Sethostname([]byte("laptop")), startLoopback(), os.Chdir("/root")); err != nil {
		return fmt.Errorf("make a machine: %w", err)
	}
	os.Unsetenv(machineVariable)
	return unix.Exec("/bin/bash", []string{"bash", "-euo", "pipefail", "-c", os.Getenv("SCRIPT")}, os.Environ())
}

// mountAll covers what would be changed, and hides what belongs to the people of this machine.
func mountAll(dir string) error {
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), mountEmpty(dir)); err != nil {
		return err
	}
	source := filepath.Join(dir, "source")
	if err := errors.Join(os.Mkdir(source, 0o755), unix.Mount(os.Getenv(sourceVariable), source, "", unix.MS_BIND, "")); err != nil {
		return err
	}
	os.Setenv("SOURCE", source)
	if err := errors.Join(mountOver(dir, "/usr", os.Getenv(usrVariable)), mountOver(dir, "/etc", "/etc"), mountOver(dir, "/var", "/var")); err != nil {
		return err
	}
	for _, hidden := range []string{"/root", "/home", "/run", "/srv"} {
		if err := mountEmpty(hidden); err != nil {
			return err
		}
	}
	return errors.Join(mountDevices(dir), unix.Mount("proc", "/proc", "proc", 0, ""))
}

func mountEmpty(path string) error {
	return named(path, unix.Mount("tmpfs", path, "tmpfs", 0, "mode=755"))
}

// mountOver lets path, which is made of other directories, be changed, and keeps the changes in dir.
func mountOver(dir, path, lower string) error {
	changes, work := filepath.Join(dir, "changes", path), filepath.Join(dir, "work", path)
	if err := errors.Join(os.MkdirAll(changes, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	return named(path, unix.Mount("overlay", path, "overlay", 0, "lowerdir="+lower+",upperdir="+changes+",workdir="+work))
}

// mountDevices makes a /dev without a TPM, and without the kernel's CUSE, whose devices would be everybody's.
func mountDevices(dir string) error {
	dev := filepath.Join(dir, "dev")
	if err := errors.Join(os.Mkdir(dev, 0o755), mountEmpty(dev)); err != nil {
		return err
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		file := filepath.Join(dev, device)
		if err := errors.Join(os.WriteFile(file, nil, 0o644), named(file, unix.Mount("/dev/"+device, file, "", unix.MS_BIND, ""))); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	for _, directory := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dev, directory), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		named("/dev", unix.Mount(dev, "/dev", "", unix.MS_BIND|unix.MS_REC, "")),
		named("/dev/pts", unix.Mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=620")),
		named("/dev/shm", unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777")))
}

func named(path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "mount", Path: path, Err: err}
}

// startLoopback makes the machine reach itself.
func startLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// What a page does to its machine is not done to ours.
func TestMachineIsApart(t *testing.T) {
	const script = `
echo "$(hostname) $$ $(ls /dev | tr '\n' ' ')"
echo changed >/etc/hostname; touch /usr/tpmkey-docs-test /root/file
(echo >/dev/tcp/127.0.0.1/22) && sudo -u you tpmkey device`
	said, err := runOnMachine(t, script, "SSHD=yes")
	if err != nil || !strings.HasPrefix(said, "laptop 1 fd full null ptmx pts random shm stderr stdin stdout tty urandom zero \n") {
		t.Errorf("%v\n%s", err, said)
	}
	if _, err := os.Stat("/usr/tpmkey-docs-test"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the machine changed ours: ", err)
	}
}
