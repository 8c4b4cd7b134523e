package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// opens is the check tpm-opens. What fails here needs no more checks of the TPM.
func opens(p *patient) outcome {
	d, err := p.device()
	if err != nil {
		p.lose("no TPM opens, see tpm-opens")
		return fail(p.tpm.fixOfOpen(), "%v", err)
	}
	defer d.Close()
	if _, err := properties(timed{d, p}); err != nil {
		p.lose("the TPM answers with an error, see tpm-opens")
		return fail(fixOfAnswer(d, err), "%s: %v", d.Spec(), err)
	}
	if d.Managed() {
		return ok("%s, tpmkeyd's", d.Spec())
	}
	return ok("%s, with this program's own manager", d.Spec())
}

// fixOfOpen is for a TPM that does not open. One that somebody has named is his own affair.
func (t TPM) fixOfOpen() string {
	if t.NamedBy == "" {
		return "see the checks tpm-present and tpm-device"
	}
	return "correct " + t.NamedBy + ", or start what is to serve there; without it the first TPM that opens is taken"
}

// fixOfAnswer is for a TPM that opens and does not answer as one does.
func fixOfAnswer(d Device, err error) string {
	if fix := fixOf(err); fix != "" || !d.Managed() {
		return fix
	}
	return "see the check tpm-present, and why tpmkeyd does so: sudo journalctl -u tpmkeyd"
}

// fixes are what helps when a TPM answers nothing but one code.
var fixes = []struct {
	rc  tpm2.TPMRC
	fix string
}{
	{tpm2.TPMRCInitialize, "the TPM was not started, which is the firmware's job, or the emulator's: restart the machine, or: tpm2_startup -c"},
	{tpm2.TPMRCFailure, "the TPM is in failure mode: switch the machine off and on"},
}

func fixOf(err error) string {
	for _, f := range fixes {
		if errors.Is(err, f.rc) {
			return f.fix
		}
	}
	return ""
}

// boundary is the check boundary.
func boundary(p *patient) outcome {
	d, err := p.device()
	if err != nil {
		return fail("", "%v", err)
	}
	defer d.Close()
	is, why := d.Boundary()
	switch {
	case is:
		return ok("%s", why)
	case d.Managed() && os.Getuid() == 0:
		return ok("%s, as root may anyway", why)
	case d.Managed():
		return warn("see the check who-may-open", "%s", why)
	}
	return warn(startBrokerOn(rawSpec(d.Spec(), d.Managed())), "%s", why)
}

// properties are all TPM_PT values (TPM2_GetCapability, Part 3, 30.2).
func properties(tpm transport.TPM) (map[tpm2.TPMPT]uint32, error) {
	values := map[tpm2.TPMPT]uint32{}
	for _, group := range []uint32{0x100, 0x200} { // PT_FIXED, PT_VAR (Part 2, 6.13)
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: group, PropertyCount: 0x100}.Execute(tpm)
		if err != nil {
			return nil, err
		}
		list, err := r.CapabilityData.Data.TPMProperties()
		if err != nil {
			return nil, err
		}
		for _, p := range list.TPMProperty {
			values[p.Property] = p.Value
		}
	}
	return values, nil
}

// withProperties asks for them first.
func (p *patient) withProperties(look func(map[tpm2.TPMPT]uint32) outcome) outcome {
	return p.with(func(tpm transport.TPM) outcome {
		values, err := properties(tpm)
		if err != nil {
			return refused("the TPM's properties", err)
		}
		return look(values)
	})
}

// selfTest is the check self-test. The result of the self-test itself is for who may open the chip; in failure mode nothing else is answered.
func selfTest(p *patient) outcome {
	o := p.with(func(tpm transport.TPM) outcome {
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(tpm); err != nil {
			o := refused("random bytes", err)
			o.fix = fixOf(err)
			return o
		}
		return ok("it works")
	})
	if o.Status != OK {
		return o
	}
	result, seen := p.raw(testResult)
	if !seen {
		result.fact = "it works; the result of its self-test is " + result.fact
	}
	return result
}

// testResult is TPM2_GetTestResult (Part 3, 10.4), which go-tpm does not have. What it says besides the code is the maker's secret.
func testResult(tpm transport.TPM) outcome {
	response, err := tpm.Send([]byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x7C})
	if err != nil {
		return fail("", "%v", err)
	}
	if len(response) < 16 || !isSuccess(response) {
		return warn("", "it works, but does not give the result of its self-test")
	}
	switch rc := tpm2.TPMRC(binary.BigEndian.Uint32(response[len(response)-4:])); rc {
	case tpm2.TPMRCSuccess:
		return ok("all of it was tested and is in order")
	case tpm2.TPMRCNeedsTest, tpm2.TPMRCTesting:
		return ok("what was tested is in order; the rest is tested when it is used")
	default:
		return fail("switch the machine off and on; then see its maker", "its self-test failed: %v", rc)
	}
}

// Bits of TPM_PT_PERMANENT (TPMA_PERMANENT, Part 2, 8.6).
const (
	ownerAuthSet   = 1 << 0
	lockoutAuthSet = 1 << 2
	inLockout      = 1 << 9
)

// fewTries are less than what a person mistypes in a bad hour; Windows sets 32.
const (
	fewTries   = 10
	setTries   = "sudo tpm2_dictionarylockout --setup-parameters --max-tries=32 --recovery-time=600 --lockout-recovery-time=86400"
	clearTries = "sudo tpm2_dictionarylockout --clear-lockout"
)

// lockout is the check lockout: what tpmkeyd refuses this user, else what the chip refuses everybody.
func lockout(p *patient) outcome {
	if o := p.with(userBrake); o.Status != OK {
		return o
	}
	return p.chipLockout()
}

// propertyBrake is for how many seconds a manager refuses this user's PINs: the code of that refusal, asked for as a TPM_PT. A chip has no such property.
const propertyBrake tpm2.TPMPT = 0x000B0921

func userBrake(tpm transport.TPM) outcome {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(propertyBrake), PropertyCount: 1}.Execute(tpm)
	if err != nil {
		return ok("") // the chip's own lockout says what is wrong
	}
	list, err := r.CapabilityData.Data.TPMProperties()
	if err != nil || len(list.TPMProperty) == 0 || list.TPMProperty[0].Property != propertyBrake || list.TPMProperty[0].Value == 0 {
		return ok("")
	}
	left := time.Duration(list.TPMProperty[0].Value) * time.Second
	return fail(fmt.Sprintf("wait %v; tpmkeyd's log says which tries failed", left),
		"tpmkeyd refuses this user's PINs for %v yet, the right ones too, after too many that were wrong; keys without a PIN work", left)
}

// chipLockout is the dictionary attack protection (Part 1, 19.8). Keys of tpmkey do not count towards it unless they were made with -da.
func (p *patient) chipLockout() outcome {
	return p.withProperties(func(is map[tpm2.TPMPT]uint32) outcome {
		failed, most := is[tpm2.TPMPTLockoutCounter], is[tpm2.TPMPTMaxAuthFail]
		interval := time.Duration(is[tpm2.TPMPTLockoutInterval]) * time.Second
		fact := fmt.Sprintf("%d of %d wrong passwords, one is forgiven every %v", failed, most, interval)
		switch {
		case is[tpm2.TPMPTPermanent]&inLockout != 0:
			return fail(fmt.Sprintf("wait %v, or: %s", interval, clearTries), "locked: %s; keys that count for it are refused, others work", fact)
		case failed > 0 && failed >= most/2:
			return warn(clearTries, "%s: soon the TPM locks itself", fact)
		case most < fewTries:
			return warn(setTries, "%s: so few tries lock the TPM for everybody", fact)
		}
		return ok("%s", fact)
	})
}

// passwords is the check passwords.
func passwords(p *patient) outcome {
	return p.withProperties(func(is map[tpm2.TPMPT]uint32) outcome {
		owner, lockout := is[tpm2.TPMPTPermanent]&ownerAuthSet != 0, is[tpm2.TPMPTPermanent]&lockoutAuthSet != 0
		fact := "the owner " + hasOne(owner) + ", the lockout " + hasOne(lockout)
		switch {
		case owner && len(p.tpm.Owner) == 0:
			return warn("see the check storage-key; or say -owner-password-file FILE", "%s: keys need their parent to be persistent", fact)
		case !lockout:
			return ok("%s: whoever opens the TPM itself can clear it (see who-may-open)", fact)
		}
		return ok("%s", fact)
	})
}

func hasOne(set bool) string {
	if set {
		return "has a password"
	}
	return "has none"
}

// slots is the check slots.
func slots(p *patient) outcome {
	o, _ := p.raw(leftovers)
	return o
}

// leftovers looks for what clients have left in the chip. A manager gives its objects back when it is idle.
func leftovers(tpm transport.TPM) outcome {
	is, err := properties(tpm)
	if err != nil {
		return refused("the TPM's properties", err)
	}
	fact := fmt.Sprintf("room for %d objects, %d loaded and %d saved sessions, %d persistent keys", is[tpm2.TPMPTHRTransientAvail], is[tpm2.TPMPTHRLoadedAvail],
		is[tpm2.TPMPTHRActiveAvail], is[tpm2.TPMPTHRPersistentAvail])
	var left, fix []string
	for _, kind := range leftoverKinds {
		handles, err := handlesOf(tpm, kind.first)
		if err != nil {
			return refused("the TPM's handles", err)
		}
		if len(handles) > kind.most {
			left = append(left, counted(len(handles), kind.name))
			fix = append(fix, "sudo tpm2_flushcontext "+kind.flag)
		}
	}
	if len(left) > 0 {
		return warn("stop what uses the TPM, then: "+strings.Join(fix, "; "), "somebody has left %s in it; %s", list(left), fact)
	}
	return ok("%s", fact)
}

// leftoverKinds are what can be left in a chip, and how many of them are no leak. Saved sessions belong to somebody, as a rule.
var leftoverKinds = []struct {
	first uint32
	name  string
	flag  string // of tpm2_flushcontext
	most  int
}{
	{0x80000000, "object", "--transient-object", 0},
	{0x02000000, "loaded session", "--loaded-session", 0},
	{0x03000000, "saved session", "--saved-session", 32},
}

func handlesOf(tpm transport.TPM, first uint32) ([]tpm2.TPMHandle, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 254}.Execute(tpm)
	if err != nil {
		return nil, err
	}
	list, err := r.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	return list.Handle, nil
}

// keySizes is the check key-sizes.
func keySizes(p *patient) outcome {
	keys := p.provider()
	defer keys.Close()
	has, err := keys.Sizes()
	switch {
	case err != nil:
		return refused("sizes of RSA keys", err)
	case len(has) == 0:
		return fail("", "it has no RSA keys of 2048 bits or more")
	}
	return ok("RSA %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(has), " ", ", "), "[]"))
}

// wantedHashes are what signatures use. What a TPM lacks of them is padded in software.
var wantedHashes = []struct {
	alg  tpm2.TPMAlgID
	name string
}{{tpm2.TPMAlgSHA256, "SHA-256"}, {tpm2.TPMAlgSHA384, "SHA-384"}, {tpm2.TPMAlgSHA512, "SHA-512"}}

// hashes is the check hashes.
func hashes(p *patient) outcome {
	return p.with(func(tpm transport.TPM) outcome {
		var has, lacks []string
		for _, hash := range wantedHashes {
			found, err := hasAlgorithm(tpm, hash.alg)
			switch {
			case err != nil:
				return refused("the TPM's algorithms", err)
			case found:
				has = append(has, hash.name)
			default:
				lacks = append(lacks, hash.name)
			}
		}
		switch {
		case len(lacks) == len(wantedHashes):
			return fail("", "it has none of %s", list(lacks))
		case len(lacks) > 0:
			return ok("%s; not %s, with which signatures are padded in software", list(has), list(lacks))
		}
		return ok("%s", list(has))
	})
}

func hasAlgorithm(tpm transport.TPM, alg tpm2.TPMAlgID) (bool, error) {
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapAlgs, Property: uint32(alg), PropertyCount: 1}.Execute(tpm)
	if err != nil {
		return false, err
	}
	list, err := r.CapabilityData.Data.Algorithms()
	if err != nil {
		return false, err
	}
	return len(list.AlgProperties) > 0 && list.AlgProperties[0].Alg == alg, nil
}
