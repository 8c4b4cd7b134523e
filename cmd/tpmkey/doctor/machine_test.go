package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// chip are files of a machine with a TPM as the kernel shows it.
var (
	chip      = map[string]string{"/sys/class/tpm/tpm0/tpm_version_major": "2\n"}
	nodes     = map[string]string{"/dev/tpm0": "", "/dev/tpmrm0": ""}
	socket    = map[string]string{"/run/tpmkey/tpms.sock": ""}
	debian    = map[string]*Node{"/dev/tpm0": {UID: 103, GID: 0, Mode: 0o660}, "/dev/tpmrm0": {UID: 103, GID: 104, Mode: 0o660}}
	ofGroup   = map[string]*Node{"/dev/tpm0": {UID: 0, GID: 200, Mode: 0o660}, "/dev/tpmrm0": {UID: 0, GID: 200, Mode: 0o660}}
	ofAll     = map[string]*Node{"/dev/tpm0": {UID: 0, GID: 0, Mode: 0o660}, "/dev/tpmrm0": {UID: 0, GID: 0, Mode: 0o666}}
	withACL   = map[string]*Node{"/dev/tpm0": {Mode: 0o600}, "/dev/tpmrm0": {Mode: 0o660, ACL: []ACLEntry{{false, 1001}}}}
	p11kitLib = "/usr/lib/x86_64-linux-gnu/libp11-kit.so.0"
	p11kitRow = "/usr/share/p11-kit/modules/tpmkey.module"
)

func named(m *Machine) { m.Named = true }

var errHungUp = errors.New("it hung up")

func serving(err error) func(*Machine) {
	return func(m *Machine) { m.Serves = func(string) error { return err } }
}

// findings of made-up machines, in the order of the table of checks: what they are, and what fact and fix say.
var machineRows = []struct {
	check, name string
	world       world
	want        Status
	fact, fix   string
}{
	{"surroundings", "bare", world{}, OK, "neither", ""},
	{"surroundings", "QEMU", world{files: map[string]string{"/sys/class/dmi/id/sys_vendor": "QEMU\n"}}, OK, "virtual machine (QEMU)", ""},
	{"surroundings", "by its flags", world{files: map[string]string{"/proc/cpuinfo": "flags\t\t: fpu hypervisor lm\n"}}, OK, "unknown hypervisor", ""},
	{"surroundings", "docker", world{files: map[string]string{"/.dockerenv": ""}}, Warn, "docker", "-v /run/tpmkey:/run/tpmkey"},
	{"surroundings", "nspawn", world{files: map[string]string{"/run/systemd/container": "systemd-nspawn\n"}}, Warn, "systemd-nspawn", "--device /dev/tpmrm0"},
	{"surroundings", "podman with a TPM", world{files: with(nodes, "/run/.containerenv", "")}, OK, "podman", ""},
	{"surroundings", "docker and an emulator", world{files: map[string]string{"/.dockerenv": ""}, with: named}, OK, "does not matter", ""},
	{"surroundings", "WSL", world{files: map[string]string{"/proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}}, Warn, "Windows", "virtual machine"},
	{"surroundings", "Flatpak", world{files: map[string]string{"/.flatpak-info": ""}}, Warn, "Flatpak", "flatpak override"},

	{"tpm-present", "there", world{files: chip}, OK, "TPM 2.0 as tpm0", ""},
	{"tpm-present", "none", world{}, Fail, "the firmware names none", "switch the TPM on"},
	{"tpm-present", "none needed", world{with: named}, OK, "another TPM is named", ""},
	{"tpm-present", "none, but tpmkeyd's", world{files: socket}, OK, "/run/tpmkey/tpms.sock serves one", ""},
	{"tpm-present", "none, nor tpmkeyd's", world{files: socket, with: serving(errHungUp)}, Fail, "the firmware names none; /run/tpmkey/tpms.sock serves none either: it hung up", "switch the TPM on"},
	{"tpm-present", "no driver", world{files: map[string]string{"/sys/firmware/acpi/tables/TPM2": "x"}}, Fail, "no driver", "modprobe tpm_crb"},
	{"tpm-present", "no driver for an ACPI device", world{files: map[string]string{"/sys/bus/acpi/devices/MSFT0101:00/": ""}}, Fail, "no driver", "modprobe tpm_tis"},
	{"tpm-present", "1.2", world{files: map[string]string{"/sys/class/tpm/tpm0/tpm_version_major": "1\n"}}, Fail, "version 1,", "fTPM"},
	{"tpm-present", "an old kernel", world{files: map[string]string{"/sys/class/tpm/tpm0/": ""}}, Warn, "does not say", ""},

	{"tpm-device", "open", world{files: nodes, nodes: debian, open: []string{"/dev/tpmrm0"}}, OK, "may open /dev/tpmrm0 (tss:tss 0660)", ""},
	{"tpm-device", "tpmkeyd's", world{files: with(nodes, "/run/tpmkey/tpms.sock", ""), open: []string{"/run/tpmkey/tpms.sock"}}, OK, "tpmkeyd's /run/tpmkey/tpms.sock", ""},
	{"tpm-device", "tpmkeyd's, closed", world{files: socket, nodes: map[string]*Node{"/run/tpmkey/tpms.sock": {Mode: 0o600}}}, Fail, "root:root 0600", "sudo chmod 0666 /run/tpmkey/tpms.sock"},
	{"tpm-device", "closed", world{files: nodes, nodes: debian}, Fail, "may not open /dev/tpmrm0 (tss:tss 0660)", "sudo tpmkeyd -device /dev/tpm0"},
	{"tpm-device", "closed, and the way through the group", world{files: nodes, nodes: debian}, Fail, "may not open", "sudo usermod -aG tss me, then log out"},
	{"tpm-device", "a group since after the log-in", world{files: nodes, nodes: ofGroup}, Fail, "since after the log-in", "log out and in again"},
	{"tpm-device", "none", world{}, Fail, "neither /dev/tpmrm0 nor", "tpm-present"},
	{"tpm-device", "none needed", world{with: named}, OK, "another TPM is named", ""},

	{"who-may-open", "nobody", world{files: nodes, nodes: debian}, OK, "/dev/tpmrm0 tss:tss 0660", ""},
	{"who-may-open", "everybody, through the filter", world{files: with(nodes, "/run/tpmkey/tpms.sock", ""), nodes: debian}, OK, "tpms.sock me:me 0600 with tpmkeyd's filter", ""},
	{"who-may-open", "nothing", world{}, OK, "no TPM", ""},
	{"who-may-open", "a group", world{files: nodes, nodes: ofGroup}, Warn, "open to me and you besides root", "gpasswd -d"},
	{"who-may-open", "a list", world{files: nodes, nodes: withACL}, Warn, "open to user you besides root", "tpmkeyd"},
	{"who-may-open", "all", world{files: nodes, nodes: ofAll}, Fail, "anybody", "sudo chmod 0660 /dev/tpmrm0 /dev/tpm0"},

	{"chip-holders", "nobody", world{files: map[string]string{"/proc/1/comm": "init\n"}}, OK, "root would see more", ""},
	{"chip-holders", "nobody, as root sees it", world{with: func(m *Machine) { m.UID = 0 }}, OK, "nobody holds", ""},
	{"chip-holders", "tpmkeyd", world{files: map[string]string{"/proc/7/comm": "tpmkeyd\n"}}, OK, "tpmkeyd (process 7)", ""},
	{"chip-holders", "tpm2-abrmd", world{files: map[string]string{"/proc/7/comm": "tpm2-abrmd\n"}}, Warn, "tpm2-abrmd (process 7)", "disable --now tpm2-abrmd"},
	{"chip-holders", "of a chip that is not used", world{files: map[string]string{"/proc/7/comm": "tpm2-abrmd\n"}, with: named}, OK, "does not matter: another TPM is named", ""},
	{"chip-holders", "a descriptor", world{files: map[string]string{"/proc/7/comm": "swift\n", "/proc/7/fd/3": "-> /dev/tpm0"}}, Warn, "swift (process 7)", "TPMKEY_DEVICE=/dev/tpmrm0"},
	{"chip-holders", "this program's own", world{files: map[string]string{"/proc/7/comm": "tpmkey\n", "/proc/7/fd/3": "-> /dev/tpm0"}, with: func(m *Machine) { m.PID = 7 }}, OK, "nobody", ""},
	{"chip-holders", "a descriptor of the kernel's manager", world{files: map[string]string{"/proc/7/comm": "swift\n", "/proc/7/fd/3": "-> /dev/tpmrm0"}}, OK, "nobody", ""},

	{"key-directories", "none yet", world{}, OK, "/users/me/keys is not there yet", ""},
	{"key-directories", "mine", world{files: map[string]string{keyDir + "/": ""}}, OK, "/users/me/keys (me:me 0700)", ""},
	{"key-directories", "others may write", world{files: map[string]string{keyDir + "/": ""}, nodes: dirNode(me, 0o770)}, Fail, "mode 0770", "chmod go-w /users/me/keys"},
	{"key-directories", "somebody else's", world{files: map[string]string{keyDir + "/": ""}, nodes: dirNode(1001, 0o755)}, Fail, "belongs to you", "sudo chown -R me /users/me/keys"},
	{"key-directories", "root's", world{files: map[string]string{keyDir + "/": ""}, nodes: dirNode(0, 0o755)}, OK, "root:root 0755", ""},
	{"key-directories", "a file", world{files: map[string]string{keyDir: ""}}, Fail, "not a directory", "mv /users/me/keys"},
	{"key-directories", "XDG", world{env: map[string]string{"XDG_DATA_HOME": "data"}}, Warn, "no whole path", "export XDG_DATA_HOME=$HOME/.local/share"},

	{"pin-prompt", "terminal", world{}, OK, "terminal", ""},
	{"pin-prompt", "nobody, nor a PIN", world{with: nobodyAsks}, OK, "no key has one", ""},
	{"pin-prompt", "an askpass that is not there", world{env: map[string]string{"SSH_ASKPASS": "/usr/bin/ask"}}, Warn, "/usr/bin/ask, which is not there", "unset SSH_ASKPASS"},

	{"module-ssh-agent", "where it belongs", world{files: map[string]string{moduleHere: ""}}, OK, "/usr/lib/x86_64-linux-gnu/pkcs11", ""},
	{"module-ssh-agent", "below /usr/local", at("/usr/local/lib/pkcs11/tpmkey-pkcs11.so"), OK, "/usr/local/lib/pkcs11", ""},
	{"module-ssh-agent", "below /usr/lib64", at("/usr/lib64/tpmkey-pkcs11.so"), OK, "/usr/lib64", ""},
	{"module-ssh-agent", "in /opt", at("/opt/tpmkey/tpmkey-pkcs11.so"), Warn, "no module from /opt/tpmkey/tpmkey-pkcs11.so", "ssh-agent -P /opt/tpmkey/tpmkey-pkcs11.so"},
	{"module-ssh-agent", "a link out", world{files: map[string]string{moduleHere: "-> ../../../../opt/module.so", "/opt/module.so": ""}}, Warn, "/opt/module.so", "make install"},
	{"module-ssh-agent", "a link to nothing", world{files: map[string]string{moduleHere: "-> nothing.so"}}, Fail, "no such file", "module-file"},
	{"module-ssh-agent", "not installed", world{with: noModule}, Warn, "not installed", ""},

	{"module-p11-kit", "no p11-kit", world{}, OK, "not installed", ""},
	{"module-p11-kit", "known", world{files: map[string]string{p11kitLib: "", p11kitRow: "# keys\nmodule: tpmkey-pkcs11.so\ncritical: no\n"}}, OK, p11kitRow, ""},
	{"module-p11-kit", "by another file's name", world{files: map[string]string{p11kitLib: "", "/etc/pkcs11/modules/a.module": "module:/usr/lib/tpmkey-pkcs11.so\n", "/usr/lib/tpmkey-pkcs11.so": ""}}, OK, "a.module", ""},
	{"module-p11-kit", "unknown", world{files: map[string]string{p11kitLib: "", "/etc/pkcs11/modules/a.module": "module: opensc-pkcs11.so\n"}}, Warn, "knows no module", "sudo tee /etc/pkcs11/modules/tpmkey.module"},
	{"module-p11-kit", "not installed", world{files: map[string]string{p11kitLib: ""}, with: noModule}, Warn, "knows no module", "sudo make install"},
	{"module-p11-kit", "switched off", world{files: map[string]string{p11kitLib: "", p11kitRow: "module: tpmkey-pkcs11.so\n", home + "/.config/pkcs11/modules/tpmkey.module": "module:\n"}}, Warn, "switches the module off", "rm /users/me/.config/pkcs11/modules/tpmkey.module"},
	{"module-p11-kit", "gone", world{files: map[string]string{p11kitLib: "", p11kitRow: "module: /opt/tpmkey-pkcs11.so\n"}}, Fail, "/opt/tpmkey-pkcs11.so, which is not there", "make install"},

	{"openssh", "9.2", world{runs: map[string]string{"ssh -V": "OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19\n"}}, OK, "OpenSSH 9.2", ""},
	{"openssh", "10.0", world{runs: map[string]string{"ssh -V": "OpenSSH_10.0p2, OpenSSL 3.5.1\n"}}, OK, "OpenSSH 10.0", ""},
	{"openssh", "10.1", world{runs: map[string]string{"ssh -V": "OpenSSH_10.1p1, OpenSSL 3.5.1\n"}}, Warn, "10.1", "10.3"},
	{"openssh", "10.2", world{runs: map[string]string{"ssh -V": "OpenSSH_10.2p1\n"}}, Warn, "10.2", "10.3"},
	{"openssh", "10.3", world{runs: map[string]string{"ssh -V": "OpenSSH_10.3p1\n"}}, OK, "10.3", ""},
	{"openssh", "another", world{runs: map[string]string{"ssh -V": "Dropbear v2022.83\n"}}, Warn, "not understood", ""},
	{"openssh", "none", world{}, Warn, "not installed", "apt install openssh-client"},

	{"ssh-config", "set", sshSays("pkcs11provider "+moduleHere+"\nidentitiesonly no\n", moduleHere), OK, "for all hosts", ""},
	{"ssh-config", "not set", sshSays("identitiesonly no\n", moduleHere), Warn, "no PKCS11Provider", "tpmkey ssh"},
	{"ssh-config", "none", sshSays("pkcs11provider none\n", moduleHere), Warn, "no PKCS11Provider", "tpmkey ssh"},
	{"ssh-config", "another's", sshSays("pkcs11provider /usr/lib/opensc-pkcs11.so\n", moduleHere), Warn, "opensc-pkcs11.so", "take it out"},
	{"ssh-config", "gone", sshSays("pkcs11provider "+moduleHere+"\n", "/other"), Fail, "not there", "tpmkey ssh"},
	{"ssh-config", "IdentitiesOnly", sshSays("pkcs11provider "+moduleHere+"\nidentitiesonly yes\nidentityfile ~/.ssh/id_rsa\n", moduleHere), Warn, "IdentitiesOnly", "IdentityFile /users/me/keys/NAME.pub"},
	{"ssh-config", "IdentitiesOnly with the key", sshSays("pkcs11provider "+moduleHere+"\nidentitiesonly yes\nidentityfile ~/keys/demo.pub\n", moduleHere), OK, "for all hosts", ""},
	{"ssh-config", "broken", world{with: func(m *Machine) {
		m.Run = func(string, ...string) (string, error) { return "line 1: Bad option\n", errors.New("exit status 255") }
	}}, Fail, "Bad option", "ssh -G"},
	{"ssh-config", "no ssh", world{}, Warn, "not installed", "openssh-client"},

	{"ssh-agent", "none", world{}, OK, "needs none", ""},
	{"ssh-agent", "OpenSSH's", world{files: map[string]string{"/tmp/ssh-x/agent.1": ""}, env: map[string]string{"SSH_AUTH_SOCK": "/tmp/ssh-x/agent.1"}}, OK, "ssh-add -s", ""},
	{"ssh-agent", "gnome-keyring", world{env: map[string]string{"SSH_AUTH_SOCK": "/run/user/1000/keyring/ssh"}}, Warn, "gnome-keyring", "tpmkey ssh"},
	{"ssh-agent", "gcr", world{env: map[string]string{"SSH_AUTH_SOCK": "/run/user/1000/gcr/ssh"}}, Warn, "gcr", "ssh-agent"},
	{"ssh-agent", "gone", world{env: map[string]string{"SSH_AUTH_SOCK": "/tmp/ssh-x/agent.1"}}, Warn, "not there", "unset SSH_AUTH_SOCK"},

	{"libc", "glibc", world{files: map[string]string{"/lib64/ld-linux-x86-64.so.2": ""}}, OK, "glibc", ""},
	{"libc", "both", world{files: map[string]string{"/lib/ld-linux-aarch64.so.1": "", "/lib/ld-musl-aarch64.so.1": ""}}, OK, "glibc", ""},
	{"libc", "musl", world{files: map[string]string{"/lib/ld-musl-x86_64.so.1": ""}}, Warn, "musl", "build-musl"},
	{"libc", "none", world{}, Warn, "no C library", ""},

	{"kernel-lockdown", "none", world{files: map[string]string{"/sys/kernel/security/lockdown": "[none] integrity confidentiality\n"}}, OK, "none:", ""},
	{"kernel-lockdown", "integrity", world{files: map[string]string{"/sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}}, OK, "integrity:", ""},
	{"kernel-lockdown", "not to be seen", world{}, OK, "does not say", ""},
	{"kernel-lockdown", "garbled", world{files: map[string]string{"/sys/kernel/security/lockdown": "whatever\n"}}, Warn, "whatever", ""},

	{"landlock", "there", world{}, OK, "version 3", ""},
	{"landlock", "none", world{with: func(m *Machine) { m.Locker = func() (int, error) { return 0, unix.EOPNOTSUPP } }}, Warn, "not supported", "lsm="},

	{"seccomp", "there", world{files: map[string]string{"/proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow\n"}}, OK, "available", ""},
	{"seccomp", "in force", world{files: map[string]string{"/proc/sys/kernel/seccomp/actions_avail": "errno allow\n", "/proc/self/status": "Name:\tx\nSeccomp:\t2\n"}}, OK, "under a filter", ""},
	{"seccomp", "none", world{}, Warn, "seccomp", "CONFIG_SECCOMP_FILTER"},

	{"clock", "right", world{}, OK, "2026-05-06 07:08:09, and kept right", ""},
	{"clock", "nobody's", world{with: func(m *Machine) { m.Synced = func() (bool, error) { return false, nil } }}, Warn, "nobody keeps it right", "timedatectl"},
	{"clock", "not to be asked", world{with: func(m *Machine) { m.Synced = func() (bool, error) { return false, unix.EPERM } }}, OK, "does not say", ""},
	{"clock", "behind", world{files: map[string]string{"/var/lib/systemd/timesync/clock": ""}, with: func(m *Machine) { m.Now = today.AddDate(-9, 0, 0) }}, Fail, "was written on 2026-05-06", "timedatectl"},
}

func with(files map[string]string, path, text string) map[string]string {
	all := map[string]string{path: text}
	for path, text := range files {
		all[path] = text
	}
	return all
}

func at(module string) world {
	return world{files: map[string]string{module: ""}, with: func(m *Machine) { m.Module = module }}
}

func noModule(m *Machine)   { m.Module = "tpmkey-pkcs11.so" }
func nobodyAsks(m *Machine) { m.Asks = func() []string { return nil } }

func dirNode(uid uint32, mode os.FileMode) map[string]*Node {
	return map[string]*Node{keyDir: {UID: uid, GID: uid, Mode: os.ModeDir | mode}}
}

func sshSays(said, file string) world {
	return world{runs: map[string]string{"ssh -G " + anyHost: said}, files: map[string]string{file: ""}}
}

func TestMachineChecks(t *testing.T) {
	for _, row := range machineRows {
		t.Run(row.check+"/"+row.name, func(t *testing.T) {
			expect(t, caught(func() outcome { return checkNamed(t, row.check).machine(row.world.machine(t)) }), row.want, row.fact, row.fix)
		})
	}
}

// expect wants a status, and texts in fact and fix; no text is no fix.
func expect(t *testing.T, o outcome, want Status, fact, fix string) {
	t.Helper()
	if o.Status != want || !strings.Contains(o.fact, fact) || !strings.Contains(o.fix, fix) || fix == "" && o.fix != "" {
		t.Errorf("%v: %q, fix %q; want %v, %q, %q", o.Status, o.fact, o.fix, want, fact, fix)
	}
}

// Every check of the machine was seen to be ok, and seen to be something else.
func TestMachineRowsWhole(t *testing.T) {
	seen := map[string][]Status{}
	for _, row := range machineRows {
		seen[row.check] = append(seen[row.check], row.want)
	}
	for check, statuses := range storeStatuses {
		seen[check] = append(seen[check], statuses...)
	}
	for _, c := range checks {
		if c.machine != nil && (!slices.Contains(seen[c.name], OK) || slices.Max(append(seen[c.name], OK)) == OK) {
			t.Errorf("%s was seen as %v only", c.name, seen[c.name])
		}
	}
}

// What acl(5) keeps: an owner, a user who may read and write, one who may read, a group.
func TestParseACL(t *testing.T) {
	entry := func(tag, permissions byte, id uint16) []byte {
		return []byte{tag, 0, permissions, 0, byte(id), byte(id >> 8), 0, 0}
	}
	list := slices.Concat(entry(0x01, 7, 0xffff), entry(0x02, 6, 1001), entry(0x02, 4, 1002), entry(0x08, 7, 200), []byte{1, 2, 3})
	if got := parseACL(list); !slices.Equal(got, []ACLEntry{{false, 1001}, {true, 200}}) {
		t.Errorf("%v", got)
	}
}

// The machine that the test runs on answers all that is asked of it.
func TestThisMachine(t *testing.T) {
	m := This()
	if said, err := m.Run("sh", "-c", "echo out; echo err >&2"); said != "out\nerr\n" || err != nil {
		t.Errorf("sh says %q, %v", said, err)
	}
	if _, err := m.Run("/nonexistent/ssh"); !missing(err) {
		t.Errorf("a missing program: %v", err)
	}
	start := time.Now()
	if _, err := m.Run("sleep", "60"); err == nil || time.Since(start) > 20*time.Second {
		t.Errorf("sleep: %v after %v", err, time.Since(start))
	}
	file := filepath.Join(t.TempDir(), "node")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if node, err := m.Stat(file); err != nil || node.Mode.Perm() != 0o640 || node.UID != uint32(os.Getuid()) {
		t.Errorf("%+v, %v", node, err)
	}
	if err := m.Access(file + ".none"); err == nil {
		t.Error("a missing file may be opened")
	}
}
