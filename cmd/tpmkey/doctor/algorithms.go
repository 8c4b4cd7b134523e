package doctor

import (
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

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
