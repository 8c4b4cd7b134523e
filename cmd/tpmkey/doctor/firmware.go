package doctor

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// A release is a maker's version of firmware, the upper half of TPM_PT_FIRMWARE_VERSION_1 before the lower.
type release struct{ major, minor uint32 }

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

// A Chip is what a TPM says of its maker.
type Chip struct {
	maker, model string
	firmware     release
}

// ChipOf finds a chip in the properties of its TPM (TPM_PT, Part 2, 6.13).
func ChipOf(properties map[tpm2.TPMPT]uint32) Chip {
	version := properties[tpm2.TPMPTFirmwareVersion1]
	return Chip{
		letters(properties[tpm2.TPMPTManufacturer]),
		letters(properties[tpm2.TPMPTVendorString1], properties[tpm2.TPMPTVendorString2], properties[tpm2.TPMPTVendorString3], properties[tpm2.TPMPTVendorString4]),
		release{version >> 16, version & 0xffff},
	}
}

func (c Chip) String() string { return fmt.Sprintf("%s %s, firmware %v", c.maker, c.model, c.firmware) }

// badFirmware is what makers have said of their firmware: from one release to another, and in which it is mended. A release whose keys can be factored is of no
// use here; ECDSA is nothing that tpmkey does. Releases of TPM 1.2 are left out.
var badFirmware = []struct {
	maker           string
	from, to, fixed release
	Status
	why string
}{
	{"IFX", release{5, 0}, release{5, 61}, release{5, 62}, Fail, roca},
	{"IFX", release{7, 0}, release{7, 61}, release{7, 62}, Fail, roca},
	{"STM", release{71, 0}, release{71, 12}, release{71, 16}, Warn, tpmFail},
	{"STM", release{73, 0}, release{73, 4}, release{73, 20}, Warn, tpmFail},
	{"STM", release{73, 5}, release{73, 5}, release{73, 21}, Warn, tpmFail},
	{"STM", release{73, 8}, release{73, 8}, release{73, 64}, Warn, tpmFail},
	{"STM", release{73, 9}, release{73, 9}, release{73, 65}, Warn, tpmFail},
	{"STM", release{74, 0}, release{74, 4}, release{74, 20}, Warn, tpmFail},
	{"STM", release{74, 5}, release{74, 5}, release{74, 21}, Warn, tpmFail},
	{"STM", release{74, 8}, release{74, 8}, release{74, 64}, Warn, tpmFail},
	{"STM", release{74, 9}, release{74, 9}, release{74, 65}, Warn, tpmFail},
	{"STM", release{74, 16}, release{74, 16}, release{74, 64}, Warn, tpmFail},
}

const (
	roca    = "it makes RSA keys that can be factored (ROCA, CVE-2017-15361)"
	tpmFail = "its ECDSA keys can be found out by their timing (TPM-FAIL, CVE-2019-16863); RSA keys are not concerned"
)

// firmware is the check firmware.
func firmware(p *patient) outcome {
	return p.withProperties(func(is map[tpm2.TPMPT]uint32) outcome { return ChipOf(is).judge() })
}

func (c Chip) judge() outcome {
	is := c.firmware
	for _, bad := range badFirmware {
		if bad.maker == c.maker && !is.before(bad.from) && !bad.to.before(is) {
			fix := fmt.Sprintf("update the TPM's firmware to %v or later, from the maker of the machine; then make new keys", bad.fixed)
			return outcome{bad.Status, c.String() + ": " + bad.why, fix}
		}
	}
	return ok("%v", c)
}

func (r release) before(other release) bool {
	return r.major < other.major || r.major == other.major && r.minor < other.minor
}

// letters are four of them in each number, filled up with NUL or blanks.
func letters(words ...uint32) string {
	var b []byte
	for _, word := range words {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(string(b), "\x00", " ")), " ")
}
