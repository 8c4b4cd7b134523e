package provider

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// ErrStays says that a key cannot be moved to another TPM.
var ErrStays = errors.New("the key cannot leave this TPM")

// Export wraps a migratable key for the parent of another TPM (TPM2_Duplicate, Part 3, 13.1): only the TPM that has that parent can open it, there with Adopt. The key
// stays usable here. It takes the key's PIN, and a filter that lets it through; whoever chooses the parent gets the key.
func (k *Key) Export(to *StorageKey) ([]byte, error) {
	text, err := k.export(to)
	return text, k.about("export", err)
}

func (k *Key) export(to *StorageKey) ([]byte, error) {
	if err := k.mayLeave(); err != nil {
		return nil, err
	}
	var w wrapped
	err := k.provider.withPIN(k, func(pin []byte) error {
		return k.provider.withTPM(func(c *connection) (err error) {
			w, err = c.duplicate(k, to, pin)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	file := *k.file
	file.private, file.seed, file.parentName = w.duplicate, w.seed, to.name.Buffer
	file.parent, file.rsaParent = ownerParent, to.public.Type == tpm2.TPMAlgRSA
	return file.format()
}

func (k *Key) mayLeave() error {
	switch {
	case k.Origin() == OriginHardware:
		return fmt.Errorf("%w: it was made to stay; tpmkey new -migratable makes one that can leave", ErrStays)
	case k.Origin() == OriginImported && len(k.area.AuthPolicy.Buffer) == 0:
		return fmt.Errorf("%w: it was imported, and has no policy that would let it; import the software key there too", ErrStays)
	case !k.isMigratable():
		return fmt.Errorf("%w: its policy is not the one that tpmkey new -migratable gives; use the tool that made it", ErrStays)
	}
	return nil
}

// duplicate wraps a loaded key, in a policy session that is salted to its parent: neither the PIN nor what could be tried for it gets onto the bus, and its HMAC covers
// the new parent's Name.
func (c *connection) duplicate(k *Key, to *StorageKey, pin []byte) (w wrapped, err error) {
	err = c.below(k, func(p *parent) error {
		key, err := c.loadBelow(p, k)
		if err != nil {
			return err
		}
		defer c.flush(key.Handle)
		newParent, err := c.loadStorageKey(to)
		if err != nil {
			return err
		}
		defer c.flush(newParent.Handle)
		session := tpm2.Policy(tpm2.TPMAlgSHA256, nonceSize, fulfilDuplication, tpm2.Auth(pin), tpm2.Salted(p.handle.Handle, p.public))
		r, err := tpm2.Duplicate{
			ObjectHandle:    tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: session},
			NewParentHandle: newParent,
			Symmetric:       tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
		}.Execute(c.tpm)
		if err != nil {
			return fmt.Errorf("duplicate the key: %w", err)
		}
		w = wrapped{r.Duplicate.Buffer, r.OutSymSeed.Buffer}
		return nil
	})
	return w, err
}

// loadStorageKey is TPM2_LoadExternal (Part 3, 12.3) of a public part.
func (c *connection) loadStorageKey(s *StorageKey) (tpm2.NamedHandle, error) {
	r, err := tpm2.LoadExternal{InPublic: tpm2.New2B(s.public), Hierarchy: tpm2.TPMRHNull}.Execute(c.tpm)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("load the other TPM's parent: %w", err)
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: s.name}, nil
}

// Adopt imports what Export gave for the parent of this TPM's new keys, and makes its file as Create does. With an empty name it gets the label that it had. The PIN is
// the one that it had.
func (p *Provider) Adopt(name string, text []byte) (*Key, error) {
	file, w, err := parseWrapped(text)
	if err != nil {
		return nil, fmt.Errorf("import a key: %w", err)
	}
	if name == "" {
		name = file.label
	}
	if err := p.store.mayCreate(name); err != nil {
		return nil, err
	}
	k, err := p.bring(name, file, func(*parent) (wrapped, error) { return w, nil })
	if err != nil {
		return nil, fmt.Errorf("import key %q: %w", name, err)
	}
	return k, nil
}

// parseWrapped reads what Export, or another tool that writes importable keys, has written.
func parseWrapped(text []byte) (*keyFile, wrapped, error) {
	file, err := parseAnyKeyFile(text)
	if err != nil {
		return nil, wrapped{}, err
	}
	if file.seed == nil {
		return nil, wrapped{}, formatError("it is a key in the TPM that made it; tpmkey migrate export wraps one for another TPM")
	}
	if err := file.checkArriving(); err != nil {
		return nil, wrapped{}, err
	}
	w := wrapped{file.private, file.seed}
	file.private, file.seed, file.parent, file.creation = nil, nil, ownerParent, nil // a ticket of another TPM's is worth nothing here
	return file, w, nil
}

// checkArriving refuses in a stranger's file what a new key of one's own cannot have either.
func (f *keyFile) checkArriving() error {
	if err := (Template{Label: f.label, ID: f.id}).check(); err != nil {
		return err
	}
	area, err := parsePublic(f.public)
	if err == nil && isAttestation(area.ObjectAttributes) {
		return formatError("it is an attestation key, and one that was outside of its TPM proves nothing")
	}
	return err
}
