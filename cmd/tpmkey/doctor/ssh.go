package doctor

import (
	"path/filepath"
	"slices"
	"strings"
)

// openSSH is the check openssh. Versions 10.1 and 10.2 do not let a module ask for a PIN by itself.
func openSSH(m *Machine) outcome {
	major, minor, err := m.sshVersion()
	switch {
	case missing(err):
		return warn("sudo apt install openssh-client", "ssh is not installed")
	case err != nil:
		return warn("", "ssh: %v", err)
	case major == 10 && (minor == 1 || minor == 2):
		return warn("update OpenSSH to 10.3, or use keys without a PIN for ssh", "OpenSSH %d.%d does not let a module ask for a PIN by itself", major, minor)
	}
	return ok("OpenSSH %d.%d", major, minor)
}

// anyHost is a host that no configuration names: what counts for it counts for all.
const anyHost = "tpmkey-doctor.invalid"

// sshConfig is the check ssh-config. ssh itself says what it makes of all its files.
func sshConfig(m *Machine) outcome {
	said, err := m.Run("ssh", "-G", anyHost)
	switch {
	case missing(err):
		return warn("sudo apt install openssh-client", "ssh is not installed")
	case err != nil:
		return fail("ssh -G "+anyHost, "ssh does not take its own configuration: %s", said)
	}
	module := settings(said, "pkcs11provider")
	switch {
	case len(module) == 0 || module[0] == "none":
		return warn("tpmkey ssh", "ssh does not use the keys: ~/.ssh/config has no PKCS11Provider")
	case filepath.Base(module[0]) != filepath.Base(m.Module):
		return warn("take it out, or move it below the Host line that it is meant for; then: tpmkey ssh", "ssh uses another module: PKCS11Provider %s", module[0])
	case !m.exists(module[0]):
		return fail("tpmkey ssh", "ssh is to use %s, which is not there", module[0])
	case slices.Contains(settings(said, "identitiesonly"), "yes") && !m.namesIdentity(settings(said, "identityfile")):
		return warn("add to ~/.ssh/config: IdentityFile "+m.exampleIdentity(), "ssh has the module, but IdentitiesOnly keeps it from keys that no IdentityFile names")
	}
	return ok("ssh uses the module for all hosts")
}

// settings are the values that ssh -G prints for a keyword.
func settings(said, keyword string) (values []string) {
	for line := range strings.Lines(said) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), " "); found && strings.EqualFold(name, keyword) {
			values = append(values, value)
		}
	}
	return values
}

// namesIdentity tells whether an IdentityFile is one of a key directory.
func (m *Machine) namesIdentity(files []string) bool {
	return slices.ContainsFunc(files, func(file string) bool {
		if rest, ok := strings.CutPrefix(file, "~/"); ok {
			file = filepath.Join(m.Home, rest)
		}
		return slices.Contains(m.Dirs, filepath.Dir(file))
	})
}

func (m *Machine) exampleIdentity() string {
	if len(m.Dirs) == 0 {
		return "NAME.pub"
	}
	return filepath.Join(m.Dirs[0], "NAME.pub")
}

// agents that are not OpenSSH's, by what their sockets are called.
var agents = []struct{ mark, name string }{
	{"/keyring/", "gnome-keyring"}, {"/gcr/", "gcr (GNOME)"}, {"gpg-agent", "gpg-agent"}, {"1password", "1Password"}, {"ssh-tpm-agent", "ssh-tpm-agent"},
}

// sshAgent is the check ssh-agent. The module works in ssh without an agent.
func sshAgent(m *Machine) outcome {
	socket := m.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return ok("none, and ssh needs none for these keys")
	}
	for _, agent := range agents {
		if strings.Contains(socket, agent.mark) {
			return warn("use PKCS11Provider (tpmkey ssh) instead of ssh-add -s, or OpenSSH's own agent: eval $(ssh-agent)", "%s serves as the agent, and may take no PKCS #11 modules", agent.name)
		}
	}
	if !m.exists(socket) {
		return warn("unset SSH_AUTH_SOCK", "SSH_AUTH_SOCK names %s, which is not there", socket)
	}
	return ok("%s, which takes modules with ssh-add -s", socket)
}
