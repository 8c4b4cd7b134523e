package doctor

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"tpmkey.example/internal/shell"
	"tpmkey.example/provider"
)

// machines are the processors of ELF files by Go's names.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "386": elf.EM_386, "arm": elf.EM_ARM, "riscv64": elf.EM_RISCV,
	"ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390, "loong64": elf.EM_LOONGARCH,
}

// moduleFile is the check module-file. OpenSSH loads a file only if it finds the name of the one function in it that all modules have.
func moduleFile(m *Machine) outcome {
	const fix = "sudo make install, or install the package again"
	if !filepath.IsAbs(m.Module) {
		return warn(fix, "the PKCS #11 module %s is not installed beside this program: ssh and others cannot use the keys", m.Module)
	}
	file, err := elf.Open(m.path(m.Module))
	if err != nil {
		return fail(fix, "%s is no library: %v", m.Module, err)
	}
	defer file.Close()
	if want := machines[runtime.GOARCH]; file.Machine != want || file.Type != elf.ET_DYN {
		return fail(fix, "%s is %v for %v, and the programs here need a library for %v", m.Module, file.Type, file.Machine, want)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil || !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "C_GetFunctionList" && s.Section != elf.SHN_UNDEF }) {
		return fail(fix, "%s has no C_GetFunctionList: it is no PKCS #11 module", m.Module)
	}
	return ok("%s, for %s", m.Module, runtime.GOARCH)
}

// agentAllows are the paths from which ssh-agent takes modules, by default: /usr/lib*/*,/usr/local/lib*/* (ssh-agent(1), -P). A * stands for slashes too.
var agentAllows = regexp.MustCompile(`^/usr/(local/)?lib.*/.*$`)

// agentRule is the check module-ssh-agent. The agent goes by the path behind all links, and tells nobody why it refuses.
func agentRule(m *Machine) outcome {
	if !filepath.IsAbs(m.Module) {
		return warn("", "the module is not installed, so ssh-agent has none to load")
	}
	real, err := filepath.EvalSymlinks(m.path(m.Module))
	if err != nil {
		return fail("see the check module-file", "%s: %v", m.Module, err)
	}
	if real = m.inside(real); !agentAllows.MatchString(real) {
		return warn("sudo make install puts it below /usr/lib; or start the agent with: ssh-agent -P "+shell.Word(real),
			"ssh-agent takes no module from %s, only from /usr/lib*/* and /usr/local/lib*/* (ssh itself takes it)", real)
	}
	return ok("ssh-agent takes modules from %s", filepath.Dir(real))
}

// p11kitDirs are where p11-kit looks, later ones before earlier ones (pkcs11.conf(5)).
func (m *Machine) p11kitDirs() []string {
	return []string{"/usr/share/p11-kit/modules", "/usr/local/share/p11-kit/modules", "/etc/pkcs11/modules", filepath.Join(m.Home, ".config/pkcs11/modules")}
}

// p11kit is the check module-p11-kit.
func p11kit(m *Machine) outcome {
	if len(m.glob("/usr/lib/*/libp11-kit.so.0"))+len(m.glob("/usr/lib*/libp11-kit.so.0")) == 0 {
		return ok("p11-kit is not installed, so no program finds modules through it")
	}
	name := filepath.Base(m.Module)
	file, setting := "", ""
	for _, dir := range m.p11kitDirs() {
		for _, path := range m.glob(dir + "/*.module") {
			if value, found := moduleLine(m.text(path)); found && (filepath.Base(value) == name || value == "" && filepath.Base(path) == filepath.Base(file)) {
				file, setting = path, value
			}
		}
	}
	switch {
	case file == "" && !filepath.IsAbs(m.Module):
		return warn("sudo make install", "p11-kit knows no module %s", name)
	case file == "":
		return warn("sudo make install, or: echo "+shell.Word("module: "+m.Module)+" | sudo tee /etc/pkcs11/modules/tpmkey.module", "p11-kit knows no module %s: GnuTLS, browsers and others do not find the keys", name)
	case setting == "":
		return warn("rm "+shell.Word(file), "%s switches the module off", file)
	case filepath.IsAbs(setting) && !m.exists(setting):
		return fail("sudo make install", "%s names %s, which is not there", file, setting)
	}
	return ok("p11-kit loads it, by %s", file)
}

// moduleLine is what a .module file says for "module:".
func moduleLine(text string) (value string, found bool) {
	for line := range strings.Lines(text) {
		if key, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "module" {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// asking is the check pin-prompt: a key with a PIN that nobody can be asked for does not work.
func asking(m *Machine) outcome {
	const fix = "sudo apt install ssh-askpass-gnome, or pinentry-gnome3; and for programs without a terminal: export SSH_ASKPASS=/usr/bin/ssh-askpass"
	if program := m.Getenv("SSH_ASKPASS"); program != "" && !m.exists(program) {
		return warn("unset SSH_ASKPASS, or install what it names", "SSH_ASKPASS names %s, which is not there", program)
	}
	ways := m.Asks()
	switch {
	case len(ways) == 0 && !m.hasPIN():
		return ok("nobody can be asked for a PIN here, and no key has one")
	case len(ways) == 0:
		return warn(fix, "nobody can be asked for a PIN: there is no terminal, no SSH_ASKPASS, no pinentry, and nobody who answers systemd-ask-password")
	}
	return ok("whoever has a key with a PIN is asked by %s", list(ways))
}

// hasPIN tells whether a key has one.
func (m *Machine) hasPIN() bool {
	keys, _ := provider.Open(m.dirs(), nil).Keys() // key-files tells of those that are none
	return slices.ContainsFunc(keys, (*provider.Key).HasPIN)
}

var errSSHVersion = errors.New("its version is not understood")

// sshVersion runs ssh for its version.
func (m *Machine) sshVersion() (major, minor int, err error) {
	said, err := m.Run("ssh", "-V")
	if err != nil {
		return 0, 0, err
	}
	_, version, _ := strings.Cut(said, "OpenSSH_")
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n != 2 {
		return 0, 0, fmt.Errorf("%w: %q", errSSHVersion, said)
	}
	return major, minor, nil
}
