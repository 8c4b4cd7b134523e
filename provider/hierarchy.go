package provider

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Handles of parents in key files.
const (
	ownerParent uint32 = uint32(tpm2.TPMRHOwner) // the standard storage primary of the owner hierarchy
	nullParent  uint32 = uint32(tpm2.TPMRHNull)  // that of the null hierarchy, which lasts until the next restart
	srkHandle   uint32 = 0x81000001              // where TCG's provisioning guidance keeps one
)

// otherParents are hierarchies that key files may name and that keys of ours do not live in, and why. The default filter keeps them from everybody.
var otherParents = map[uint32]string{
	uint32(tpm2.TPMRHEndorsement): "is the endorsement hierarchy, whose keys tell who the machine is",
	uint32(tpm2.TPMRHPlatform):    "is the platform hierarchy, which belongs to the firmware",
}

func refusedParent(handle uint32) string {
	if why, ok := otherParents[handle]; ok {
		return why + "; make the key below 0x40000001 or a persistent key"
	}
	return "is neither a hierarchy nor a persistent key"
}

// parentTemplate is what the TSS2 key format means by a hierarchy as the parent: TCG's ECC P-256 storage primary, or its RSA 2048 one where the file says so,
// without coordinates or modulus. Zeros of full length there would make another key.
func (f *keyFile) parentTemplate() tpm2.TPMTPublic {
	if f.rsaParent {
		template := tpm2.RSASRKTemplate
		template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
		return template
	}
	template := tpm2.ECCSRKTemplate
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	return template
}

// isMadeOf tells whether a persistent key has all of a template but the number that only its seed decides.
func isMadeOf(template, public tpm2.TPMTPublic) bool {
	public.Unique = template.Unique
	return public.Type == template.Type && bytes.Equal(tpm2.Marshal(public), tpm2.Marshal(template))
}

// isStorage tells whether a persistent key can be the parent of new keys (Part 1, 11.4.2).
func isStorage(public tpm2.TPMTPublic) bool {
	a := public.ObjectAttributes
	return bool(a.Restricted && a.Decrypt && !a.SignEncrypt && a.UserWithAuth && a.FixedTPM && a.FixedParent)
}

// createPrimary makes the storage primary that a file means (TPM2_CreatePrimary, Part 3, 24.1).
func (c *connection) createPrimary(f *keyFile) (*parent, error) {
	r, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(f.parent), Auth: c.hierarchyAuth(f.parent)},
		InPublic:      tpm2.New2B(f.parentTemplate()),
	}.Execute(c.tpm)
	if isWrongPIN(err) {
		return nil, fmt.Errorf("%w%s, and the parent key is not persistent at %#x, where nobody would need it: create the parent key: %w",
			ErrParentAuth, c.ownerHint(), srkHandle, err)
	}
	if err != nil {
		return nil, fmt.Errorf("create the parent key: %w", err)
	}
	public, err := r.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("create the parent key: %w", err)
	}
	p, err := newParent(r.ObjectHandle, r.Name, *public)
	if err != nil {
		c.flush(r.ObjectHandle)
		return nil, err
	}
	p.transient = true
	return p, nil
}

// GiveOwnerPassword names the password of the owner hierarchy (ownerAuth, Part 1, 13.6), with which a parent is made that is not persistent. It is remembered
// until Close, and proved in an HMAC session: that does not tell it to the bus, but lets who listens there try passwords.
func (p *Provider) GiveOwnerPassword(password []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.owner)
	p.owner = bytes.Clone(password)
	if p.conn != nil {
		p.conn.owner = p.owner
	}
}

// hierarchyAuth is an empty password where none was given: what is made with that costs one command, or none where a manager has an answer.
func (c *connection) hierarchyAuth(hierarchy uint32) tpm2.Session {
	if hierarchy != ownerParent || len(c.owner) == 0 {
		return tpm2.PasswordAuth(nil)
	}
	return tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(c.owner))
}

func (c *connection) ownerHint() string {
	if len(c.owner) == 0 {
		return ""
	}
	return ", which is another than the one that was given"
}

// parentOfNew is the standard storage primary, or where the owner's password keeps us from making it, whatever storage key the owner has made persistent. The
// file then names that one.
func (c *connection) parentOfNew(f *keyFile) (*parent, error) {
	p, err := c.standardParent(nil, f)
	if refused := errors.Is(err, ErrParentAuth) || errors.Is(err, rcBrake); !refused || c.srk == nil || !isStorage(c.srk.public) {
		return p, err
	}
	f.parent = srkHandle
	return c.srk, nil
}
