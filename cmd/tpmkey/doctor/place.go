package doctor

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// surroundings is the check surroundings.
func surroundings(m *Machine) outcome {
	for _, p := range places {
		if kind := p.seen(m); kind != "" {
			return p.found(m, kind)
		}
	}
	return ok("neither a container nor a virtual machine")
}

// places are what a machine can be inside of. The innermost counts.
var places = []struct {
	seen  func(*Machine) string // "": not there
	found func(*Machine, string) outcome
}{
	{inFlatpak, func(m *Machine, kind string) outcome {
		return warn("flatpak override --user --device=all --filesystem=/run/tpmkey APP", "inside of the sandbox of %s, which shows devices to no program by itself", kind)
	}},
	{inWSL, func(m *Machine, kind string) outcome {
		return warn("use Linux itself, or a virtual machine with an emulated TPM", "%s, which gives Linux no TPM", kind)
	}},
	{inContainer, inContainerFound},
	{inVM, func(m *Machine, kind string) outcome {
		return ok("a virtual machine (%s): its TPM is as safe as its host", kind)
	}},
}

func inContainerFound(m *Machine, kind string) outcome {
	for _, path := range append(slices.Clone(managedPaths), m.rawNodes()...) {
		if m.exists(path) {
			return ok("a container (%s) with %s", kind, path)
		}
	}
	return m.unlessElsewhere(warn("start it with tpmkeyd's socket: -v /run/tpmkey:/run/tpmkey, or with the device, which gives it the whole TPM: --device /dev/tpmrm0", "a container (%s) without a TPM", kind))
}

func inFlatpak(m *Machine) string {
	if m.exists("/.flatpak-info") {
		return "Flatpak"
	}
	return ""
}

func inWSL(m *Machine) string {
	if strings.Contains(strings.ToLower(m.line("/proc/sys/kernel/osrelease")), "microsoft") {
		return "the Windows Subsystem for Linux"
	}
	return ""
}

// containerMarks are files that those who make containers put there, and who they are.
var containerMarks = []struct{ path, kind string }{
	{"/run/.containerenv", "podman"}, {"/.dockerenv", "docker"}, {"/run/systemd/container", ""}, {"/var/run/secrets/kubernetes.io", "Kubernetes"},
}

func inContainer(m *Machine) string {
	for _, mark := range containerMarks {
		if !m.exists(mark.path) {
			continue
		}
		if mark.kind == "" {
			return m.line(mark.path)
		}
		return mark.kind
	}
	return ""
}

// hypervisors are told by what they give for the maker or the model.
var hypervisors = []string{"QEMU", "KVM", "VMware", "VirtualBox", "innotek", "Xen", "Amazon EC2", "Google Compute Engine", "Virtual Machine", "Bochs", "Parallels"}

func inVM(m *Machine) string {
	said := m.line("/sys/class/dmi/id/sys_vendor") + " " + m.line("/sys/class/dmi/id/product_name")
	for _, name := range hypervisors {
		if strings.Contains(said, name) {
			return name
		}
	}
	for line := range strings.Lines(m.text("/proc/cpuinfo")) {
		if strings.HasPrefix(line, "flags") && slices.Contains(strings.Fields(line), "hypervisor") {
			return "an unknown hypervisor"
		}
	}
	return ""
}

// chipHolders is the check chip-holders: /dev/tpm0 opens once, and who has it keeps others out.
func chipHolders(m *Machine) outcome {
	var holders []string
	for _, process := range m.glob("/proc/[0-9]*") {
		if filepath.Base(process) == strconv.Itoa(m.PID) {
			continue
		}
		if name := m.line(process + "/comm"); name != "" && (m.holdsChip(process) || slices.Contains(daemons, name)) {
			holders = append(holders, name+" (process "+filepath.Base(process)+")")
		}
	}
	others := slices.DeleteFunc(slices.Clone(holders), func(holder string) bool { return strings.HasPrefix(holder, "tpmkeyd ") })
	switch {
	case len(others) > 0 && m.Named:
		return ok("%s may hold /dev/tpm0, which does not matter: another TPM is named", list(others))
	case len(others) > 0:
		return warn("stop what is not needed (sudo systemctl disable --now tpm2-abrmd), or use its device: TPMKEY_DEVICE=/dev/tpmrm0", "%s may hold /dev/tpm0, which opens for one program at a time", list(others))
	case len(holders) > 0:
		return ok("%s serves the TPM", list(holders))
	case m.UID != 0:
		return ok("nobody is seen to hold /dev/tpm0; root would see more")
	}
	return ok("nobody holds /dev/tpm0")
}

// daemons hold a TPM by trade, also where their descriptors are not to be seen.
var daemons = []string{"tpm2-abrmd", "tcsd", "tpmkeyd"}

func (m *Machine) holdsChip(process string) bool {
	for _, fd := range m.glob(process + "/fd/*") {
		to, err := readLink(m.path(fd))
		if err == nil && isRawChip(to) {
			return true
		}
	}
	return false
}

// isRawChip tells /dev/tpm0 from /dev/tpmrm0.
func isRawChip(path string) bool {
	number, ok := strings.CutPrefix(path, "/dev/tpm")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
