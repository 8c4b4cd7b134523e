package provider

import (
	"bytes"
	"errors"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// What a migratable key's authPolicy asks for (Part 1, 19.7): the command is TPM2_Duplicate, and its sender knows the key's authValue. Every other use goes by the
// authValue alone, as with all keys (userWithAuth). To be duplicated an object needs a policy that names the command (role DUP, Part 1, 19.2), so nobody duplicates
// what has none.
var duplicationPolicy = func() []byte {
	policy, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err == nil {
		err = errors.Join(tpm2.PolicyCommandCode{Code: tpm2.TPMCCDuplicate}.Update(policy), tpm2.PolicyAuthValue{}.Update(policy))
	}
	if err != nil {
		panic(err) // a test compares it with what a TPM computes
	}
	return policy.Hash().Digest
}()

func (t Template) authPolicy() tpm2.TPM2BDigest {
	if !t.Migratable {
		return tpm2.TPM2BDigest{}
	}
	return tpm2.TPM2BDigest{Buffer: duplicationPolicy}
}

// fulfilDuplication runs the policy in a session.
func fulfilDuplication(tpm transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicyCommandCode{PolicySession: session, Code: tpm2.TPMCCDuplicate}.Execute(tpm)
	if err == nil {
		_, err = tpm2.PolicyAuthValue{PolicySession: session}.Execute(tpm)
	}
	return err
}

// isMigratable tells whether the key may be duplicated, by the policy that we can fulfil.
func (k *Key) isMigratable() bool {
	return !bool(k.area.ObjectAttributes.FixedParent) && bytes.Equal(k.area.AuthPolicy.Buffer, duplicationPolicy)
}
