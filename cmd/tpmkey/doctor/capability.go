package doctor

import (
	"encoding/binary"
	"errors"
	"os"

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
