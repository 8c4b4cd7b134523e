package doctor

import (
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

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
