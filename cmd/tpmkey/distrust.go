package main

import (
	"errors"
	"fmt"

	"tpmkey.example/attest"
)

// distrusts say what it means for who checks evidence that it is refused, and what to do: the package says it in the terms of the TPM.
var distrusts = []struct {
	reason error
	advice string
}{
	{attest.ErrFormat, "it is not all of what tpmkey attest printed, or was changed since"},
	{attest.ErrAnchor, "-ak takes what tpmkey pub -tpm prints of the attestation key"},
	{attest.ErrSignature, "it is of another attestation key than -ak, or was changed: ask for evidence anew"},
	{attest.ErrNonce, "it may be old, and shown again: ask for tpmkey attest with -nonce and this value"},
	{attest.ErrStatement, "it was put together by somebody: do not trust the key"},
	{attest.ErrNotHardware, "it was imported or can be moved, so there may be copies of it: have another made, by tpmkey new"},
	{attest.ErrUse, "it is a key for the TPM's own purposes: ask for evidence of one that signs or decrypts"},
	{attest.ErrWeak, "do not use the key: have another made"},
}

// distrusted adds to an error of the package attest what it means.
func distrusted(err error) error {
	for _, d := range distrusts {
		if errors.Is(err, d.reason) {
			return fmt.Errorf("%w (%s)", err, d.advice)
		}
	}
	return err
}
