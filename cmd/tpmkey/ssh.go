package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

const sshDetails = `
Writes into ~/.ssh/config that ssh uses the keys in the TPM, and prints what changed:
nothing, when the lines are there already. They are at the end of the file, for all
hosts that name no other PKCS11Provider. ssh takes one module, so another one that is
named for all hosts has to go first.

  -remove       take the lines out again
  -dry-run      print what would change, and change nothing
  -module FILE  the PKCS #11 module (default: the one that came with this program)
  -config FILE  the file to change (default: ~/.ssh/config)
`

// sshOptions are the flags of tpmkey ssh.
type sshOptions struct {
	remove, dryRun bool
	module, config string
}

func sshFlags(f *flag.FlagSet, t *tool) {
	f.BoolVar(&t.ssh.remove, "remove", false, "")
	f.BoolVar(&t.ssh.dryRun, "dry-run", false, "")
	f.StringVar(&t.ssh.module, "module", "", "")
	f.StringVar(&t.ssh.config, "config", "", "")
}

// runSSH sets up ssh's configuration, or undoes that.
func runSSH(t *tool, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	module, err := t.ssh.modulePath()
	if err != nil && !t.ssh.remove {
		return err
	}
	home, err := sshHome()
	if err != nil && t.ssh.config == "" {
		return err
	}
	path := t.ssh.config
	if path == "" {
		path = filepath.Join(home, ".ssh", "config")
	}
	if !t.ssh.dryRun {
		unlock, err := lockConfig(path, !t.ssh.remove)
		if err != nil {
			return err
		}
		defer unlock()
	}
	return t.editConfig(path, home, module)
}

// sshHome is the home directory that ssh goes by: the one of the user database, whatever HOME says.
func sshHome() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w; say -config FILE", err)
	}
	return u.HomeDir, nil
}

// modulePath is the module's path as ssh_config takes it.
func (o sshOptions) modulePath() (string, error) {
	path := o.module
	if path == "" {
		if path = modulePath(); !filepath.IsAbs(path) {
			return "", fmt.Errorf("the PKCS #11 module %s is not installed beside this program; install it, or say where it is: tpmkey ssh -module FILE", moduleName)
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("the module %s is not a file", path)
	}
	return configValue(path)
}

// lockConfig keeps others from changing the file meanwhile. The directory is made, for its owner only, if something is to be written there.
func lockConfig(path string, create bool) (unlock func(), err error) {
	dir := filepath.Dir(path)
	if create {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	unlock, err = lockDir(dir)
	if errors.Is(err, os.ErrNotExist) && !create {
		return func() {}, nil
	}
	return unlock, err
}

// editConfig changes the file, if it is not as it shall be. The caller holds the lock.
func (t *tool) editConfig(path, home, module string) error {
	text, err := readConfig(path)
	if err != nil {
		return err
	}
	c, err := parseSSHConfig(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	reader := &configReader{dir: filepath.Dir(path), home: home}
	edited, block := c.without(), ""
	if !t.ssh.remove {
		reader.read(path, c.masked(), "", 0)
		if edited, block, err = c.wanted(text, module, reader); err != nil {
			return err
		}
	}
	if edited == text {
		t.say("nothing to change in %s", path)
		return nil
	}
	if !t.ssh.dryRun {
		if err := t.writeConfig(path, edited); err != nil {
			return err
		}
	}
	t.showChange(path, c.block, block)
	t.showOthers(reader.settings)
	if t.ssh.dryRun {
		t.say("nothing was changed, because of -dry-run")
	}
	return nil
}

// writeConfig takes a file away in which nothing is left: nobody else has written into it. A link is somebody's.
func (t *tool) writeConfig(path, text string) error {
	info, err := os.Lstat(path)
	if text == "" && err == nil && info.Mode().IsRegular() {
		return os.Remove(path)
	}
	return replaceFile(t.interrupts(), path, []byte(text), 0o600)
}

// wanted is the text that ssh shall find, and our lines in it. They stay where they are unless another module is named behind them, which they would hide.
func (c sshConfig) wanted(text, module string, others *configReader) (edited, block string, err error) {
	path := strings.Trim(module, `"`)
	for _, s := range others.settings {
		switch {
		case s.scope == "" && s.value == path && c.block == "":
			return text, "", nil
		case s.scope == "" && s.value != path:
			return "", "", fmt.Errorf("%v names PKCS11Provider %s for all hosts, and ssh takes the first; take it out, then try again", s, printable(s.value))
		}
	}
	block = sshBlock(module)
	behind := &configReader{dir: others.dir, home: others.home}
	behind.read("", c.after, "", 0)
	if strings.TrimPrefix(c.block, "\n") == block && len(behind.settings) == 0 {
		return text, block, nil
	}
	return c.with(block), block, nil
}

// showChange prints lines that go and lines that come.
func (t *tool) showChange(path, old, new string) {
	fmt.Fprintf(t.stdout, "%s:\n", printable(path))
	t.printMarked("-", old)
	t.printMarked("+", new)
}

func (t *tool) printMarked(mark, block string) {
	for line := range strings.Lines(strings.TrimPrefix(block, "\n")) {
		fmt.Fprintf(t.stdout, "%s %s\n", mark, strings.TrimSuffix(line, "\n"))
	}
}

// showOthers names what stays as it is.
func (t *tool) showOthers(settings []moduleSetting) {
	for _, s := range settings {
		if s.scope != "" {
			t.say("%v keeps PKCS11Provider %s, below %q", s, printable(s.value), printable(s.scope))
		}
	}
}
