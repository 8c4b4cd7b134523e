package doctor

import (
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

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
