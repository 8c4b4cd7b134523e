package doctor

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/prompt"
	"tpmkey.example/rm/device"
)

// A Machine is what the checks see of a machine besides its TPM. A test makes one up.
type Machine struct {
	Root   string   // stands before every path
	Home   string   // of the person, as ssh finds it
	UID    uint32   // of the person
	Groups []uint32 // that the process has
	PID    int      // of the process, which may hold the TPM itself
	Dirs   []string // key directories, without Root
	Module string   // the PKCS #11 module, or only its name where none was found
	Named  bool     // somebody named a TPM, so that the kernel's is not needed

	Getenv func(string) string
	Run    func(name string, args ...string) (output string, err error) // standard output and error
	Stat   func(path string) (*Node, error)                             // follows links
	Access func(path string) error                                      // for reading and writing
	Serves func(path string) error                                      // whether what tpmkeyd offers there answers
	Asks   func() []string                                              // ways to ask for a PIN
	Synced func() (bool, error)                                         // whether the clock is
	Locker func() (abi int, err error)                                  // Landlock
	Now    time.Time
}

// A Node is what the file system says of a file.
type Node struct {
	UID, GID uint32
	Mode     fs.FileMode
	ACL      []ACLEntry // what goes beyond the mode
}

// This is the machine that the program runs on.
func This() *Machine {
	return &Machine{
		Root: "/", UID: uint32(os.Getuid()), Groups: processGroups(), PID: os.Getpid(), Now: time.Now(),
		Getenv: os.Getenv, Run: runProgram, Stat: statNode, Access: access, Serves: serves, Asks: prompt.Ways, Synced: clockSynced, Locker: landlockABI,
	}
}

// programTime is how long a program may take that is asked for its version or its configuration.
const programTime = 3 * time.Second

func runProgram(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), programTime)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	c.WaitDelay = time.Second
	output, err := c.CombinedOutput()
	return string(output), err
}

func statNode(path string) (*Node, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	return &Node{UID: st.Uid, GID: st.Gid, Mode: info.Mode(), ACL: readACL(path)}, nil
}

func access(path string) error { return unix.Access(path, unix.R_OK|unix.W_OK) }

// serves asks tpmkeyd for something: it may have no chip.
func serves(path string) error {
	spec := path
	if !strings.HasPrefix(path, "/dev/") {
		spec = "broker:" + path
	}
	d, err := device.Open(spec)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = properties(d)
	return err
}

// clockSynced asks the kernel whether somebody keeps its clock right (adjtimex(2)).
func clockSynced() (bool, error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, err
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}

// path is where a path of the machine is.
func (m *Machine) path(path string) string { return filepath.Join(m.Root, path) }

// text is what a file says, "" where it cannot be read. No file that is looked at is long.
func (m *Machine) text(path string) string {
	text, err := m.read(path)
	if err != nil {
		return ""
	}
	return text
}

func (m *Machine) read(path string) (string, error) {
	f, err := os.OpenFile(m.path(path), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	return string(text), err
}

const maxText = 64 << 10

// line is a file's first line.
func (m *Machine) line(path string) string {
	line, _, _ := strings.Cut(m.text(path), "\n")
	return strings.TrimSpace(line)
}

// glob gives the paths of the machine that fit a pattern.
func (m *Machine) glob(pattern string) (paths []string) {
	found, _ := filepath.Glob(m.path(pattern)) // the patterns are well-formed
	for _, path := range found {
		paths = append(paths, m.inside(path))
	}
	return paths
}

// inside is a path as the machine names it.
func (m *Machine) inside(path string) string {
	rel, err := filepath.Rel(m.Root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return path
	}
	return "/" + rel
}

func (m *Machine) exists(path string) bool {
	_, err := os.Stat(m.path(path))
	return err == nil
}

// missing tells whether an error says that something is not there.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound)
}

func processGroups() (groups []uint32) {
	all, _ := os.Getgroups() // without them nobody is advised to log in again
	for _, gid := range append(all, os.Getgid()) {
		groups = append(groups, uint32(gid))
	}
	return groups
}

// landlockABI asks the kernel for its version of Landlock (landlock_create_ruleset(2)).
func landlockABI() (int, error) {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(abi), nil
}
