package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stage is what a run of the demo has set up and takes down at its end.
type stage struct {
	ctx     context.Context // ends when the demo is interrupted
	device  string          // spec of the chip; "" is a simulated one
	build   string          // folder of the programs, absolute and open to the user
	asTyped string          // the same folder in the commands shown
	dir     string          // everything temporary, open to the user
	home    string          // the user's folder below dir
	user    *actor

	daemons []*daemon
	broker  *daemon
	made    []string // empty folders to be removed besides dir
}

// newStage makes the temporary folders. The caller must close the stage.
func newStage(ctx context.Context, build, device string) (*stage, error) {
	absolute, err := filepath.Abs(build)
	if err != nil {
		return nil, err
	}
	user, err := chooseActor()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tpmkey-demo")
	if err != nil {
		return nil, err
	}
	s := &stage{ctx: ctx, device: device, build: absolute, asTyped: build, dir: dir,
		home: filepath.Join(dir, "home"), user: user}
	if err := errors.Join(os.Chmod(dir, 0o755), s.makeHome(), s.openBuild()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) makeHome() error {
	if err := os.Mkdir(s.home, 0o700); err != nil {
		return err
	}
	return os.Chown(s.home, int(s.user.uid), int(s.user.gid))
}

// programs are the files that the user runs or loads.
var programs = []string{"tpmkey", "tpmkey-pkcs11.so", "tpmkey-pkcs11-helper", "demo/demo", "demo/tlsserver"}

// openBuild copies the programs if a folder above them is closed to the user.
func (s *stage) openBuild() error {
	if s.user.credential == nil || reachable(s.build) {
		return nil
	}
	copies := filepath.Join(s.dir, "build")
	for _, program := range append(slices.Clone(programs), "tpmkeyd", "tpmkey-sim") {
		if err := copyProgram(filepath.Join(s.build, program), filepath.Join(copies, program)); err != nil {
			return err
		}
	}
	s.build = copies
	return nil
}

// reachable reports whether everybody may go down to dir.
func reachable(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

func copyProgram(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}

// file names a file in the temporary folder.
func (s *stage) file(name string) string { return filepath.Join(s.dir, name) }

// program names a file that make build made.
func (s *stage) program(name string) string { return filepath.Join(s.build, name) }

// socket is where tpmkeyd listens.
func (s *stage) socket() string { return s.file("tpms.sock") }

// environment is all that the user's programs see: no agent, no ssh settings, no
// other key store.
func (s *stage) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.home,
		"LC_ALL=C",
		"XDG_DATA_HOME=" + s.home,
		"TPMKEY_DEVICE=broker:" + s.socket(),
	}
}

// typed shortens paths to what one would type in the checkout.
func (s *stage) typed(text string) string {
	return strings.ReplaceAll(text, s.build+"/", strings.TrimSuffix(s.asTyped, "/")+"/")
}

// close ends what runs, the last started first, and removes all files.
func (s *stage) close() error {
	for _, d := range slices.Backward(s.daemons) {
		d.stop()
	}
	err := os.RemoveAll(s.dir)
	for _, dir := range s.made {
		if removal := os.Remove(dir); !errors.Is(removal, fs.ErrNotExist) {
			err = errors.Join(err, removal)
		}
	}
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
