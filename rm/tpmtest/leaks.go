package tpmtest

import (
	"fmt"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Leaks returns what a raw chip still holds for anybody: handles of transient
// objects, loaded sessions and saved sessions (TPM2_GetCapability, Part 3, 30.2).
func Leaks(tpm Sender) ([]tpm2.TPMHandle, error) {
	var leaks []tpm2.TPMHandle
	for _, kind := range []tpm2.TPMHT{tpm2.TPMHTTransient, tpm2.TPMHTHMACSession, tpm2.TPMHTPolicySession} {
		handles, err := handles(tpm, kind)
		if err != nil {
			return nil, err
		}
		leaks = append(leaks, handles...)
	}
	return leaks, nil
}

// handles lists the handles of one kind. As kinds in GetCapability, HMACSession
// means the loaded sessions and PolicySession the saved ones (Part 2, 7.2).
func handles(tpm transport.TPM, kind tpm2.TPMHT) ([]tpm2.TPMHandle, error) {
	response, err := tpm2.GetCapability{
		Capability:    tpm2.TPMCapHandles,
		Property:      uint32(kind) << 24,
		PropertyCount: 254,
	}.Execute(tpm)
	if err != nil {
		return nil, fmt.Errorf("list handles of kind %#x: %w", kind, err)
	}
	list, err := response.CapabilityData.Data.Handles()
	if err != nil {
		return nil, err
	}
	return list.Handle, nil
}

// NoLeaks fails the test when the chip still holds an object or a session. Every
// client must have gone: swtpm would let the question wait.
func NoLeaks(t testing.TB, spec string) {
	t.Helper()
	c, err := dial(spec)
	if err != nil {
		t.Error("look for leaks: ", err)
		return
	}
	defer c.Close()
	leaks, err := Leaks(c)
	if err != nil {
		t.Error("look for leaks: ", err)
	}
	for _, handle := range leaks {
		t.Errorf("handle %#x was left on the chip", handle)
	}
}
