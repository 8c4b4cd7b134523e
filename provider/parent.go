package provider

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// A parent is a storage key that keys are loaded below.
type parent struct {
	handle    tpm2.NamedHandle
	public    tpm2.TPMTPublic
	transient bool
}

// load loads a key below its parent (TPM2_Load, Part 3, 12.2), and starts the session that its PIN is used in. A transient parent is flushed again: above the
// kernel's manager each object that stays makes every command dearer.
func (c *connection) load(k *Key, pin []byte) (*loadedKey, error) {
	key := &loadedKey{auth: bytes.Clone(pin)}
	err := c.below(k, func(p *parent) (err error) {
		if key.handle, err = c.loadBelow(p, k); err != nil || pin == nil {
			return err
		}
		if key.session, err = c.saltedSession(p, key.auth); err != nil {
			c.flush(key.handle.Handle)
		}
		return err
	})
	if err != nil {
		clear(key.auth)
		return nil, err
	}
	return key, nil
}

// below runs work with the parent of a key, and again with the standard one where nothing says that the persistent key is the one that the file means.
func (c *connection) below(k *Key, work func(*parent) error) error {
	p, err := c.parentOf(k.file)
	if err != nil {
		return err
	}
	err = c.withParent(p, work)
	if errors.Is(err, tpm2.TPMRCIntegrity) && !p.transient && k.file.parent == ownerParent && k.file.parentName == nil {
		if p, err = c.createPrimary(k.file); err == nil {
			err = c.withParent(p, work)
		}
	}
	return err
}

func (c *connection) withParent(p *parent, work func(*parent) error) error {
	if p.transient {
		defer c.flush(p.handle.Handle)
	}
	return work(p)
}

func (c *connection) loadBelow(p *parent, k *Key) (tpm2.NamedHandle, error) {
	r, err := tpm2.Load{
		ParentHandle: p.handle,
		InPrivate:    tpm2.TPM2BPrivate{Buffer: k.file.private},
		InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](k.file.public),
	}.Execute(c.tpm)
	if err != nil {
		return tpm2.NamedHandle{}, k.loadError(err)
	}
	name, err := tpm2.ObjectName(&k.area.TPMTPublic)
	if err != nil || !bytes.Equal(name.Buffer, r.Name.Buffer) {
		c.flush(r.ObjectHandle)
		return tpm2.NamedHandle{}, fmt.Errorf("%w: it loads another key than the file's; something stands between the TPM and us", ErrWrongTPM)
	}
	return tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}, nil
}

// loadError tells a damaged file from another TPM: below the parent that the key was made under, what is whole loads.
func (k *Key) loadError(err error) error {
	var rc tpm2.TPMRC
	if k.file.parentName != nil && errors.As(err, &rc) && isOfParameter(rc) {
		return fmt.Errorf("%w: it is damaged: this is the TPM that the key was made in, and it does not load: %w", ErrFormat, err)
	}
	return parentError("load the key below its parent", err)
}

// isOfParameter tells whether a TPM found fault with a parameter (format-one codes, Part 2, 6.6.3).
func isOfParameter(rc tpm2.TPMRC) bool { return rc&^0xFFF == 0 && rc&0xC0 == 0xC0 }

// parentError tells a parent's password, which we have not, from a key's.
func parentError(what string, err error) error {
	if isWrongPIN(err) {
		return fmt.Errorf("%w: %s: %w", ErrParentAuth, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// parentOf finds the parent that a file names, and makes sure that it is the one the key was made under.
func (c *connection) parentOf(f *keyFile) (*parent, error) {
	switch {
	case f.parent>>24 == 0x81:
		p, err := c.readPersistent(f.parent)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, fmt.Errorf("%w: nothing is at its parent's handle %#x", ErrWrongTPM, f.parent)
		}
		return p, checkParentName(p, f)
	case f.parent == ownerParent:
		return c.standardParent(f.parentName, f)
	case f.parent == nullParent:
		return c.pinnedPrimary(f)
	}
	return nil, formatError("its parent %#x %s", f.parent, refusedParent(f.parent))
}

// standardParent gives the standard storage primary, or that of a Name: the persistent one where it is the right one, so that nothing need be created.
func (c *connection) standardParent(name []byte, f *keyFile) (*parent, error) {
	srk, err := c.persistentSRK()
	if err != nil {
		return nil, err
	}
	if srk != nil && (name == nil && isMadeOf(f.parentTemplate(), srk.public) || name != nil && bytes.Equal(name, srk.handle.Name.Buffer)) {
		return srk, nil
	}
	return c.pinnedPrimary(f)
}

func (c *connection) pinnedPrimary(f *keyFile) (*parent, error) {
	p, err := c.createPrimary(f)
	if err != nil {
		return nil, err
	}
	if err := checkParentName(p, f); err != nil {
		c.flush(p.handle.Handle)
		return nil, err
	}
	return p, nil
}

// checkParentName compares a parent with the Name that is pinned in the file. A man in the middle of the bus has another one too.
func checkParentName(p *parent, f *keyFile) error {
	if f.parentName == nil || bytes.Equal(f.parentName, p.handle.Name.Buffer) {
		return nil
	}
	return fmt.Errorf("%w: its parent%s has Name %x, but the key was made under %x; the TPM was cleared or replaced, %sor something stands between it and us",
		ErrWrongTPM, p.where(), p.handle.Name.Buffer, f.parentName, p.moved())
}

// where and moved say more of a parent that an administrator can put another key in the place of.
func (p *parent) where() string {
	if p.transient {
		return ""
	}
	return fmt.Sprintf(" at %#x", p.handle.Handle.HandleValue())
}

func (p *parent) moved() string {
	if p.transient {
		return ""
	}
	return "another key was put there, "
}

func (c *connection) persistentSRK() (*parent, error) {
	if c.asked {
		return c.srk, nil
	}
	srk, err := c.readPersistent(srkHandle)
	if err != nil {
		return nil, err
	}
	c.srk, c.asked = srk, true
	return srk, nil
}

// readPersistent reads a persistent key (TPM2_ReadPublic, Part 3, 12.4): nil where nothing is there.
func (c *connection) readPersistent(handle uint32) (*parent, error) {
	r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(handle)}.Execute(c.tpm)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the parent key: %w", err)
	}
	public, err := r.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("read the parent key: %w", err)
	}
	return newParent(tpm2.TPMHandle(handle), r.Name, *public)
}

// newParent makes sure that a Name is the one of a public area: secrets are encrypted to that area because its Name is the one that the key file pins.
func newParent(handle tpm2.TPMHandle, name tpm2.TPM2BName, public tpm2.TPMTPublic) (*parent, error) {
	want, err := tpm2.ObjectName(&public)
	if err != nil || !bytes.Equal(want.Buffer, name.Buffer) {
		return nil, fmt.Errorf("%w: the Name of the parent key is not that of its public area; something stands between the TPM and us", ErrWrongTPM)
	}
	return &parent{handle: tpm2.NamedHandle{Handle: handle, Name: name}, public: public}, nil
}
