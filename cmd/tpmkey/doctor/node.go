package doctor

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/shell"
)

// Where TPMs are: the kernel's own devices, and what tpmkeyd offers.
var (
	rawPatterns  = []string{"/dev/tpmrm[0-9]*", "/dev/tpm[0-9]*"}
	managedPaths = []string{"/dev/tpms", "/run/tpmkey/tpms.sock"}
)

// startBroker is the way to keys that gives nobody the whole TPM.
var startBroker = startBrokerOn("/dev/tpm0")

func startBrokerOn(chip string) string {
	return "sudo tpmkeyd -device " + shell.Word(chip) + " -listen /run/tpmkey/tpms.sock"
}

func (m *Machine) rawNodes() (paths []string) {
	for _, pattern := range rawPatterns {
		paths = append(paths, m.glob(pattern)...)
	}
	return paths
}

// managed is what tpmkeyd offers, "" for nothing.
func (m *Machine) managed() string {
	for _, path := range managedPaths {
		if m.exists(path) {
			return path
		}
	}
	return ""
}

// unlessElsewhere takes a finding about the kernel's TPM back where another one is named or served.
func (m *Machine) unlessElsewhere(o outcome) outcome {
	if m.Named {
		return ok("%s, which does not matter: another TPM is named", o.fact)
	}
	managed := m.managed()
	if managed == "" {
		return o
	}
	if err := m.Serves(managed); err != nil {
		o.fact += fmt.Sprintf("; %s serves none either: %v", managed, err)
		return o
	}
	return ok("%s, which does not matter: %s serves one", o.fact, managed)
}

// kernelTPM is the check tpm-present.
func kernelTPM(m *Machine) outcome {
	chips := m.glob("/sys/class/tpm/tpm[0-9]*")
	if len(chips) == 0 {
		return m.unlessElsewhere(m.noChip())
	}
	switch version := m.line(chips[0] + "/tpm_version_major"); version {
	case "2":
		return ok("the kernel drives a TPM 2.0 as %s", strings.TrimPrefix(chips[0], "/sys/class/tpm/"))
	case "":
		return warn("", "the kernel drives a TPM and does not say of which version")
	default:
		return m.unlessElsewhere(fail("look in the firmware's setup for a switch to TPM 2.0 (fTPM, PTT), or in the maker's downloads for an update",
			"the machine has a TPM of version %s, and 2.0 is needed", version))
	}
}

func (m *Machine) noChip() outcome {
	if m.exists("/sys/firmware/acpi/tables/TPM2") || len(m.glob("/sys/bus/acpi/devices/MSFT0101:*")) > 0 {
		return fail("sudo modprobe tpm_crb; sudo modprobe tpm_tis; then see: sudo dmesg | grep -i tpm", "the firmware names a TPM, but no driver of the kernel has taken it")
	}
	return fail("switch the TPM on in the firmware's setup (under Security: TPM, fTPM or PTT); then see: sudo dmesg | grep -i tpm", "the kernel has found no TPM, and the firmware names none")
}

// deviceNode is the check tpm-device.
func deviceNode(m *Machine) outcome {
	managed := m.managed()
	if managed != "" && m.Access(managed) == nil {
		return ok("this user may open tpmkeyd's %s", managed)
	}
	nodes := m.rawNodes()
	for _, path := range nodes {
		if m.Access(path) == nil {
			return ok("this user may open %s (%s)", path, m.describe(path))
		}
	}
	switch {
	case m.Named:
		return ok("none that this user may open; another TPM is named")
	case managed != "":
		return fail("sudo chmod 0666 "+managed, "this user may not open tpmkeyd's %s (%s)", managed, m.describe(managed))
	case len(nodes) == 0:
		return fail("see the check tpm-present; in a container, give it the device or tpmkeyd's socket", "there is neither /dev/tpmrm0 nor /dev/tpm0, and tpmkeyd serves nobody")
	}
	return m.closedNode(nodes[0])
}

// closedNode says why a node does not open and what is to be done. Most people want keys, not the whole TPM.
func (m *Machine) closedNode(path string) outcome {
	fact := fmt.Sprintf("this user may not open %s (%s)", path, m.describe(path))
	node, err := m.Stat(path)
	if err != nil {
		return fail("", "%s: %v", path, err)
	}
	group := m.groupName(node.GID)
	if slices.Contains(m.members(group), m.userName(m.UID)) && !slices.Contains(m.Groups, node.GID) {
		return fail("log out and in again", "%s, though in group %s since after the log-in", fact, group)
	}
	return fail(startBroker+"; or, which gives this user the whole TPM: sudo usermod -aG "+group+" "+m.userName(m.UID)+", then log out and in", "%s", fact)
}

// describe is a node's owner, group, mode and ACL.
func (m *Machine) describe(path string) string {
	node, err := m.Stat(path)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%s:%s %04o", m.userName(node.UID), m.groupName(node.GID), node.Mode.Perm())
	for _, e := range node.ACL {
		text += ", " + m.nameOf(e)
	}
	return text
}

func (m *Machine) nameOf(e ACLEntry) string {
	if e.Group {
		return "group " + m.groupName(e.ID)
	}
	return "user " + m.userName(e.ID)
}

// whoMayOpen is the check who-may-open: whoever opens the chip itself can clear it, lock it and take it over, filter or not.
func whoMayOpen(m *Machine) outcome {
	nodes := m.rawNodes()
	if len(nodes) == 0 {
		return ok("the kernel has no TPM that somebody could open")
	}
	var facts, people []string
	for _, path := range nodes {
		node, err := m.Stat(path)
		if err != nil {
			return warn("", "%s: %v", path, err)
		}
		facts = append(facts, path+" "+m.describe(path))
		if node.Mode.Perm()&0o006 != 0 {
			return fail("sudo chmod 0660 "+strings.Join(nodes, " ")+", and take out the udev rule that says otherwise: grep -r tpm /etc/udev/rules.d", "anybody may do anything to the TPM: %s", list(facts))
		}
		people = append(people, m.openers(node)...)
	}
	slices.Sort(people)
	if people = slices.Compact(people); len(people) > 0 {
		return warn("with tpmkeyd nobody needs that: "+startBroker+"; then, for each: sudo gpasswd -d USER GROUP", "the whole TPM is open to %s besides root: %s", list(people), list(facts))
	}
	if path := m.managed(); path != "" {
		facts = append(facts, path+" "+m.describe(path)+" with tpmkeyd's filter")
	}
	return ok("only root and services: %s", list(facts))
}

// services are users whose job TPMs are.
var services = []string{"root", "tss", "tpmkey"}

// openers are the people who may read and write a node.
func (m *Machine) openers(node *Node) (people []string) {
	if owner := m.userName(node.UID); !slices.Contains(services, owner) {
		people = append(people, owner)
	}
	if node.Mode.Perm()&0o060 == 0o060 {
		people = append(people, m.members(m.groupName(node.GID))...)
	}
	for _, e := range node.ACL {
		people = append(people, m.nameOf(e))
	}
	return slices.DeleteFunc(people, func(name string) bool { return slices.Contains(services, name) })
}

// userName and groupName are what the machine's files say; numbers where they say nothing.
func (m *Machine) userName(uid uint32) string  { return m.nameIn("/etc/passwd", uid) }
func (m *Machine) groupName(gid uint32) string { return m.nameIn("/etc/group", gid) }

func (m *Machine) nameIn(file string, id uint32) string {
	number := strconv.FormatUint(uint64(id), 10)
	for line := range strings.Lines(m.text(file)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) > 2 && fields[2] == number {
			return fields[0]
		}
	}
	return number
}

// members are those who are in a group by its file.
func (m *Machine) members(group string) []string {
	for line := range strings.Lines(m.text("/etc/group")) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) > 3 && fields[0] == group {
			return strings.FieldsFunc(fields[3], func(r rune) bool { return r == ',' })
		}
	}
	return nil
}

// An ACLEntry is a user or group that an access control list lets read and write (acl(5)).
type ACLEntry struct {
	Group bool
	ID    uint32
}

// readACL reads the kernel's form of a list: a version, then entries of tag, permissions and id.
func readACL(path string) (entries []ACLEntry) {
	list := make([]byte, 4096)
	n, err := unix.Getxattr(path, "system.posix_acl_access", list)
	if err != nil || n < 4 {
		return nil
	}
	return parseACL(list[4:n])
}

// Tags of entries that name somebody, and the permissions that let one talk to a TPM.
const (
	aclUser, aclGroup = 0x02, 0x08
	aclReadWrite      = 6
)

func parseACL(list []byte) (entries []ACLEntry) {
	for ; len(list) >= 8; list = list[8:] {
		tag, permissions := binary.LittleEndian.Uint16(list), binary.LittleEndian.Uint16(list[2:])
		if (tag == aclUser || tag == aclGroup) && permissions&aclReadWrite == aclReadWrite {
			entries = append(entries, ACLEntry{tag == aclGroup, binary.LittleEndian.Uint32(list[4:])})
		}
	}
	return entries
}
