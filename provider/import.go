package provider

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
)

// What is wrong with a key that comes from elsewhere, or with where it goes.
var (
	ErrImport = errors.New("not a key that can be imported")
	ErrParent = errors.New("this TPM's parent of new keys is another than the one that was named")
)

// Import brings a private key that was made elsewhere to the TPM (TPM2_Import, Part 3, 13.3) and makes its file as Create does. On its way the key is encrypted to the
// parent; t.ParentName tells which one that must be. The filter must let it through. The key's Origin is OriginImported, and nobody can move it on: it has no policy
// for that.
func (p *Provider) Import(name string, private *rsa.PrivateKey, t Template) (*Key, error) {
	t.Bits, t.Exponent = private.N.BitLen(), private.E
	if err := errors.Join(checkImport(private), t.check()); err != nil {
		return nil, fmt.Errorf("import key %q: %w", name, err)
	}
	if err := p.store.mayCreate(name); err != nil {
		return nil, err
	}
	file := t.file(name)
	err := p.importTo(file, private, t)
	if err != nil {
		return nil, fmt.Errorf("import key %q: %w", name, err)
	}
	k, err := p.keep(name, file)
	if err != nil {
		return nil, fmt.Errorf("import key %q: %w", name, err)
	}
	return k, nil
}

// importTo fills in what is known of the key when the TPM has it.
func (p *Provider) importTo(file *keyFile, private *rsa.PrivateKey, t Template) error {
	public := importTemplate(private, t)
	file.public, file.parentName = tpm2.Marshal(public), t.ParentName
	return p.bringTo(file, func(parent *parent) (wrapped, error) { return wrap(parent, public, private, t.PIN) })
}

// checkImport refuses what a TPM would refuse without saying why, and what is no good anywhere.
func checkImport(private *rsa.PrivateKey) error {
	bits := private.N.BitLen()
	switch {
	case len(private.Primes) != 2:
		return fmt.Errorf("%w: it has %d primes, and keys of a TPM have 2", ErrImport, len(private.Primes))
	case !slices.Contains(sizes, bits):
		return fmt.Errorf("%w: it has %d bits, and keys of a TPM have %s", ErrImport, bits, alternatives(sizes))
	case private.Primes[0].BitLen() != bits/2 || private.Primes[1].BitLen() != bits/2 || private.Primes[0].Cmp(private.Primes[1]) == 0:
		return fmt.Errorf("%w: its primes are not two of %d bits", ErrImport, bits/2)
	case hasROCA(private.N):
		return fmt.Errorf("%w: it can be factored (ROCA, CVE-2017-15361); make another key, and trust this one no more", ErrImport)
	}
	if err := private.Validate(); err != nil {
		return fmt.Errorf("%w: its parts do not belong together: %w", ErrImport, err)
	}
	return nil
}

// importTemplate is a key of ours, but for the attributes that would say that it was made in the TPM. TPM2_Import takes no others.
func importTemplate(private *rsa.PrivateKey, t Template) tpm2.TPMTPublic {
	public := keyTemplate(t)
	public.ObjectAttributes.FixedTPM, public.ObjectAttributes.FixedParent, public.ObjectAttributes.SensitiveDataOrigin = false, false, false
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: private.N.Bytes()})
	return public
}

// A wrapped key is one on its way between parents (Part 1, 23.3): the sensitive area, encrypted with keys that are derived from a seed, and that seed, encrypted to
// the new parent.
type wrapped struct{ duplicate, seed []byte }

// wrap encrypts a private key to a parent whose Name was checked. An inner wrapper would add nothing: its key would have to come in clear.
func wrap(to *parent, public tpm2.TPMTPublic, private *rsa.PrivateKey, pin []byte) (w wrapped, err error) {
	key, err := tpm2.ImportEncapsulationKey(&to.public)
	if err != nil {
		return w, err
	}
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		return w, err
	}
	sensitive := tpm2.Marshal(tpm2.TPMTSensitive{
		SensitiveType: tpm2.TPMAlgRSA,
		AuthValue:     tpm2.TPM2BAuth{Buffer: pin},
		Sensitive:     tpm2.NewTPMUSensitiveComposite(tpm2.TPMAlgRSA, &tpm2.TPM2BPrivateKeyRSA{Buffer: private.Primes[0].Bytes()}),
	})
	defer clear(sensitive)
	w.duplicate, w.seed, err = tpm2.CreateDuplicate(rand.Reader, key, name.Buffer, sensitive)
	return w, err
}

// bring imports what comes wrapped to the parent of new keys, whose Name the file may pin, and keeps the file.
func (p *Provider) bring(name string, file *keyFile, come func(*parent) (wrapped, error)) (*Key, error) {
	if err := p.bringTo(file, come); err != nil {
		return nil, err
	}
	return p.keep(name, file)
}

func (p *Provider) bringTo(file *keyFile, come func(*parent) (wrapped, error)) error {
	area, err := parsePublic(file.public)
	if err != nil {
		return err
	}
	t, want := Template{Bits: area.public.N.BitLen(), Exponent: area.public.E}, file.parentName
	return p.withTPM(func(c *connection) error {
		if err := c.mayHave(t); err != nil {
			return err
		}
		file.parentName = nil
		found, err := c.parentOfNew(file)
		if err != nil {
			return err
		}
		return c.withParent(found, func(parent *parent) error {
			name := parent.handle.Name.Buffer
			if want != nil && !bytes.Equal(want, name) {
				return fmt.Errorf("%w: it has Name %x, not %x", ErrParent, name, want)
			}
			w, err := come(parent)
			if err == nil {
				err = t.importRefused(c.importBelow(parent, file, w))
			}
			file.parentName = name
			return err
		})
	})
}

// importBelow makes the private part, and loads it: only that compares it with the public one.
func (c *connection) importBelow(p *parent, file *keyFile, w wrapped) error {
	k, err := newKey(nil, "", "", file)
	if err != nil {
		return err
	}
	r, err := tpm2.Import{
		ParentHandle: p.handle,
		ObjectPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](file.public),
		Duplicate:    tpm2.TPM2BPrivate{Buffer: w.duplicate},
		InSymSeed:    tpm2.TPM2BEncryptedSecret{Buffer: w.seed},
		Symmetric:    tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}.Execute(c.tpm)
	if err != nil {
		return parentError("import the key", err)
	}
	file.private = r.OutPrivate.Buffer
	handle, err := c.loadBelow(p, k)
	if err != nil {
		return err
	}
	c.flush(handle.Handle)
	return nil
}

// importRefused says what it was in a key that the TPM refused: it has the size.
func (t Template) importRefused(err error) error {
	if t.exponent() != 0 && (lacksSize(err) || errors.Is(err, tpm2.TPMRCRange)) {
		return fmt.Errorf("%w: %d: %w", ErrExponent, t.Exponent, err)
	}
	return err
}
