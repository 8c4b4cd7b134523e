package provider

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-tpm/tpm2"
)

// A Template says what kind of key to create. The zero value is a good one.
type Template struct {
	Bits     int    // of the modulus: 2048 (also for 0), 3072, 4096 where the TPM has them
	Exponent int    // 65537 (also for 0), or another that the TPM takes
	Label    string // "": the name
	ID       []byte // CKA_ID; nil: SHA-1 of the modulus
	DA       bool   // wrong PINs of this key count towards the lockout of the whole TPM
	PIN      []byte // empty: none

	// Migratable keys can be moved to other TPMs (Key.Export). The filter must let them be made.
	Migratable bool

	// ParentName is the Name that the parent must have that an imported key is encrypted to; nil: any. Create does not use it.
	ParentName []byte

	// Attestation keys sign nothing but what the TPM says of other keys (Key.Attest). The filter must let them be made.
	Attestation bool

	// Challenge is what evidence shows of the key's making, and with it that the key is not older: at most MaxNonce bytes.
	Challenge []byte
}

// Limits of what a template can ask for: a file that is too large could not be read again.
const (
	maxLabel = 1024 // bytes
	maxID    = 255  // bytes
)

func (t Template) check() error {
	switch {
	case len(t.Label) > maxLabel:
		return fmt.Errorf("%w: a label of %d bytes, more than %d", ErrName, len(t.Label), maxLabel)
	case !utf8.ValidString(t.Label) || strings.ContainsFunc(t.Label, unicode.IsControl): // programs print it as it is
		return fmt.Errorf("%w: the label %q has a control character or broken UTF-8 in it", ErrName, t.Label)
	case len(t.ID) > maxID:
		return fmt.Errorf("%w: an id of %d bytes, more than %d", ErrName, len(t.ID), maxID)
	case t.Attestation && t.Migratable:
		return fmt.Errorf("%w: an attestation key that can leave its TPM proves nothing", ErrUsage)
	case len(t.Challenge) > MaxNonce:
		return fmt.Errorf("a challenge of %d bytes, more than %d", len(t.Challenge), MaxNonce)
	}
	if err := t.checkExponent(); err != nil {
		return err
	}
	return CheckPIN(t.PIN)
}

// Create makes a key in the TPM (TPM2_Create, Part 3, 12.1) and its file in the first directory, which is made if need be. It is all there
// afterwards, or nothing is; errors.Is tells ErrName, ErrExists, ErrSize, ErrExponent and ErrROCA.
func (p *Provider) Create(name string, t Template) (*Key, error) {
	if err := p.store.mayCreate(name); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("create key %q: %w", name, err)
	}
	file := t.file(name)
	err := p.withTPM(func(c *connection) error { return c.create(t, file) })
	if err != nil {
		return nil, fmt.Errorf("create key %q: %w", name, err)
	}
	k, err := p.keep(name, file)
	if err != nil {
		return nil, fmt.Errorf("create key %q: %w", name, err)
	}
	return k, nil
}

// file is what a key's file says before there is the key.
func (t Template) file(name string) *keyFile {
	file := &keyFile{label: t.Label, id: t.ID, emptyAuth: len(t.PIN) == 0, parent: ownerParent}
	if file.label == "" {
		file.label = name
	}
	return file
}

// keep adds a new key to the store.
func (p *Provider) keep(name string, file *keyFile) (*Key, error) {
	k, err := newKey(p, name, p.store.keyPath(p.store.dirs[0], name), file)
	if err != nil {
		return nil, err
	}
	if err := k.checkROCA(); err != nil {
		return nil, err
	}
	file.id = k.ID()
	if err := p.store.add(k); err != nil {
		return nil, err
	}
	return k, nil
}

// create fills in the key's two parts and the Name of its parent.
func (c *connection) create(t Template, file *keyFile) error {
	if err := c.mayHave(t); err != nil {
		return err
	}
	found, err := c.parentOfNew(file)
	if err != nil {
		return err
	}
	return c.withParent(found, func(p *parent) error {
		r, err := c.createBelow(p, t)
		if err != nil {
			return parentError("create the key", c.refused(t, err))
		}
		if !t.Migratable { // of no worth, and of no use in another TPM
			file.creation = &creation{r.CreationData.Bytes(), r.CreationTicket}
		}
		file.public, file.private, file.parentName = r.OutPublic.Bytes(), r.OutPrivate.Buffer, p.handle.Name.Buffer
		return nil
	})
}

// createBelow is TPM2_Create, in a salted session where there is a PIN to hide.
func (c *connection) createBelow(p *parent, t Template) (*tpm2.CreateResponse, error) {
	create := tpm2.Create{ParentHandle: p.handle, InPublic: tpm2.New2B(keyTemplate(t)), OutsideInfo: tpm2.TPM2BData{Buffer: t.Challenge}}
	if len(t.PIN) == 0 {
		return create.Execute(c.tpm)
	}
	session, err := c.saltedSession(p, nil)
	if err != nil {
		return nil, err
	}
	defer c.flush(session.Handle())
	create.ParentHandle = tpm2.AuthHandle{Handle: p.handle.Handle, Name: p.handle.Name, Auth: session}
	create.InSensitive = tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: t.PIN}}}
	return create.Execute(c.tpm)
}

// keyTemplate is a key that signs and decrypts with any padding, or attests, is born in this TPM and, if it is not migratable, never leaves it.
func keyTemplate(t Template) tpm2.TPMTPublic {
	parms := rsaParms(t.bits(), t.exponent())
	if t.Attestation {
		parms.Scheme = attestationScheme
	}
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgRSA,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: !t.Migratable, FixedParent: !t.Migratable, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: !t.DA, SignEncrypt: true, Decrypt: !t.Attestation, Restricted: t.Attestation},
		AuthPolicy: t.authPolicy(),
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, parms),
		Unique:     tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{}),
	}
}
