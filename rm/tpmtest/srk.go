package tpmtest

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// SRKHandle is where the storage root key persists, if anywhere (TCG TPM v2.0
// Provisioning Guidance, 7.8).
const SRKHandle = tpm2.TPMHandle(0x81000001)

// SRKTemplate returns the storage primary that TSS2 key files name 0x40000001:
// ECC P-256 as in the provisioning guidance, but with empty coordinates (EK
// Credential Profile, template H-2). Zeros of full length would be another key.
func SRKTemplate() tpm2.TPMTPublic {
	template := tpm2.ECCSRKTemplate
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return template
}

// PersistSRK makes the storage root key under owner and keeps it at SRKHandle, on
// a raw chip with an empty owner authorisation.
func PersistSRK(t testing.TB, tpm Sender) {
	t.Helper()
	PersistPrimary(t, tpm, SRKTemplate())
}

// PersistPrimary does the same with another primary key.
func PersistPrimary(t testing.TB, tpm Sender, template tpm2.TPMTPublic) {
	t.Helper()
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(tpm)
	if err == nil {
		_, err = evict(primary.ObjectHandle, primary.Name).Execute(tpm)
	}
	if err == nil {
		_, err = tpm2.FlushContext{FlushHandle: primary.ObjectHandle}.Execute(tpm)
	}
	if err != nil {
		t.Fatal("persist a primary key: ", err)
	}
}

// Evict takes away what is persistent at SRKHandle.
func Evict(t testing.TB, tpm Sender) {
	t.Helper()
	r, err := tpm2.ReadPublic{ObjectHandle: SRKHandle}.Execute(tpm)
	if err == nil {
		_, err = evict(SRKHandle, r.Name).Execute(tpm)
	}
	if err != nil {
		t.Error("take a persistent key away: ", err)
	}
}

// evict makes an object persistent at SRKHandle, or what is there vanish (Part 3, 28.5).
func evict(object tpm2.TPMHandle, name tpm2.TPM2BName) tpm2.EvictControl {
	return tpm2.EvictControl{Auth: tpm2.TPMRHOwner, ObjectHandle: tpm2.NamedHandle{Handle: object, Name: name}, PersistentHandle: SRKHandle}
}
