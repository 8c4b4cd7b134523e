package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
)

const runDetails = `
Root starts a program that can use the TPM as the flags say, whatever its user may
otherwise. It gets a descriptor, number 3, which it can hand on, and which nobody
widens; programs of tpmkey find it by TPMKEY_DEVICE=fd:3. Another user's gets none
of root's other descriptors, but standard input and outputs, and no session keys.

  -filter NAME|FILE  what it may send (default: what everybody may)
  -chip N            the chip (default: the first there is)
  -locality N        from which locality its commands come (default: 0)
  -seal              nobody narrows the filter either
  -user NAME         whose program it is (default: who has called sudo)
  -control PATH      tpmkeyd's control socket (default /run/tpmkey/control.sock)

  sudo tpmkey run -filter use -- ssh-agent -P /usr/lib/*/pkcs11/tpmkey-pkcs11.so
`

type runOptions struct {
	profile, user, control string
	chip                   *int
	locality               uint8
	seal                   bool
}

func runFlags(f *flag.FlagSet, t *tool) {
	f.StringVar(&t.run.profile, "filter", "", "")
	f.StringVar(&t.run.user, "user", "", "")
	f.StringVar(&t.run.control, "control", control.Path, "")
	f.BoolVar(&t.run.seal, "seal", false, "")
	f.Func("chip", "", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return errors.New("not the number of a chip")
		}
		chip := int(n)
		t.run.chip = &chip
		return nil
	})
	f.Func("locality", "", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > 4 {
			return errors.New("not a locality: those are 0 to 4")
		}
		t.run.locality = uint8(n)
		return nil
	})
}

// handedFD is the number under which the program gets its descriptor.
const handedFD = 3

func runRun(t *tool, args []string) error {
	if len(args) == 0 {
		return usageError("it needs a program: tpmkey run -filter use -- PROGRAM")
	}
	if os.Geteuid() != 0 {
		return errors.New("run: only root asks for descriptors; put sudo before it")
	}
	u, err := t.runAs()
	if err != nil {
		return err
	}
	file, err := t.askForDescriptor(u)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the one that becomes the program
	if err := u.become(); err != nil {
		return err
	}
	return t.start(file, u, args)
}

// askForDescriptor asks tpmkeyd for what the flags say.
func (t *tool) askForDescriptor(u *runUser) (*os.File, error) {
	q := control.Request{Chip: t.run.chip, Locality: t.run.locality, UID: uint32(u.uid), Seal: t.run.seal}
	if err := t.requestFilter(&q); err != nil {
		return nil, err
	}
	file, _, err := control.Ask(t.run.control, q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.run.control, noService(err))
	}
	return file, nil
}

// requestFilter asks for a built-in profile by its name, and for another one by its text.
func (t *tool) requestFilter(q *control.Request) error {
	if t.run.profile == "" || slices.Contains(filter.Names(), t.run.profile) {
		q.Filter = t.run.profile
		return nil
	}
	f, err := t.profile(t.run.profile)
	if err == nil {
		q.Profile = f.String()
	}
	return err
}

// A runUser is whose program it will be.
type runUser struct {
	uid, gid   int
	groups     []int
	name, home string
}

// runAs is the user whom -user names, else the one who has called sudo, else root.
func (t *tool) runAs() (*runUser, error) {
	name := t.run.user
	if name == "" {
		name = os.Getenv("SUDO_UID")
	}
	if name == "" {
		t.say("hint: the program runs as root; another user is named with -user")
		return &runUser{name: "root"}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return nil, fmt.Errorf("there is no user %q on this machine", name)
	}
	return runUserOf(u)
}

func runUserOf(u *user.User) (*runUser, error) {
	r := &runUser{name: u.Username, home: u.HomeDir}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", u.Username, err)
	}
	for _, id := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.Atoi(id)
		if err != nil {
			return nil, fmt.Errorf("user %s has the id %q", u.Username, id)
		}
		r.groups = append(r.groups, n)
	}
	r.uid, r.gid, r.groups = r.groups[0], r.groups[1], r.groups[2:]
	return r, nil
}

// become gives root's rights up for good. Root stays what he is.
func (u *runUser) become() error {
	if u.uid == 0 {
		return nil
	}
	err := errors.Join(syscall.Setgroups(u.groups), syscall.Setresgid(u.gid, u.gid, u.gid), syscall.Setresuid(u.uid, u.uid, u.uid))
	if err == nil && syscall.Setresuid(0, 0, 0) == nil {
		err = errors.New("root again")
	}
	if err == nil {
		err = disinherit()
	}
	if err != nil {
		return fmt.Errorf("become user %s: %w", u.name, err)
	}
	return nil
}

// environment is that of the user, with the descriptor in it. What tells of somebody else's session or descriptors stays behind.
func (u *runUser) environment() []string {
	set := map[string]string{"TPMKEY_DEVICE": fmt.Sprintf("fd:%d", handedFD)}
	if u.uid != 0 {
		set["HOME"], set["USER"], set["LOGNAME"] = u.home, u.name, u.name
	}
	drop := []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, replaced := set[name]
		return replaced || slices.Contains(drop, name)
	})
	for name, value := range set {
		env = append(env, name+"="+value)
	}
	return env
}

// start becomes the program. It is looked for with the user's rights.
func (t *tool) start(file *os.File, u *runUser, args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	fd := int(file.Fd())
	if fd == handedFD {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	} else {
		err = unix.Dup3(fd, handedFD, 0)
	}
	if err == nil {
		err = unix.SetNonblock(handedFD, false)
	}
	if err == nil {
		err = syscall.Exec(path, args, u.environment())
	}
	return fmt.Errorf("run %s: %w", path, err)
}
