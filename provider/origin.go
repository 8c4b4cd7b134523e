package provider

import "github.com/google/go-tpm/tpm2"

// An Origin says where a private key has been. It comes from attributes of the public area (Part 2, 8.3), which the key's Name covers: a file that says
// another one does not load.
type Origin string

// The origins. Only the first says that no copy exists outside of this TPM.
const (
	OriginHardware   Origin = "hardware"   // made in this TPM, which it cannot leave
	OriginMigratable Origin = "migratable" // it can have come from another TPM, and may go to others
	OriginImported   Origin = "imported"   // made outside of any TPM
)

// Hardware tells whether the private key was made in this TPM and cannot leave it.
func (o Origin) Hardware() bool { return o == OriginHardware }

// Origin is read from the key's file, and proved whenever the TPM loads that.
func (k *Key) Origin() Origin { return originOf(k.area.ObjectAttributes) }

// originOf trusts sensitiveDataOrigin only beside fixedTPM and fixedParent: whoever wraps a key for TPM2_Import (Part 3, 13.3), which takes no others, sets it as he
// likes. Where it is CLEAR the key was a file once.
func originOf(a tpm2.TPMAObject) Origin {
	switch {
	case !a.SensitiveDataOrigin:
		return OriginImported
	case !a.FixedTPM || !a.FixedParent:
		return OriginMigratable
	}
	return OriginHardware
}
