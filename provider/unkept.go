package provider

import (
	"bytes"
	"crypto/rsa"
	"fmt"
)

// A key need not have a file: what TPM2_Create and TPM2_Import answer loads as long as somebody remembers it.

// Make makes a key as Create does, and no file. It is gone when nobody has it any more; Keep gives it a file after all.
func (p *Provider) Make(t Template) (*Key, error) {
	k, err := p.unkept(t, func(file *keyFile) error {
		return p.withTPM(func(c *connection) error { return c.create(t, file) })
	})
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return k, nil
}

// TakeIn imports a key as Import does, and makes no file.
func (p *Provider) TakeIn(private *rsa.PrivateKey, t Template) (*Key, error) {
	t.Bits, t.Exponent = private.N.BitLen(), private.E
	if err := checkImport(private); err != nil {
		return nil, fmt.Errorf("import a key: %w", err)
	}
	k, err := p.unkept(t, func(file *keyFile) error { return p.importTo(file, private, t) })
	if err != nil {
		return nil, fmt.Errorf("import a key: %w", err)
	}
	return k, nil
}

func (p *Provider) unkept(t Template, come func(*keyFile) error) (*Key, error) {
	file := t.file("")
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := come(file); err != nil {
		return nil, err
	}
	k, err := newKey(p, "", "", file)
	if err != nil {
		return nil, err
	}
	return k, k.checkROCA()
}

// Forget takes a key without a file off the TPM.
func (p *Provider) Forget(k *Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropPIN(k.identity)
}

// A Note is what a file says of a key beside what the TPM knows.
type Note struct {
	Label string
	ID    []byte
	Notes []byte // of whoever uses the key, to whom alone they mean something
}

// Notes are what Keep or Note gave, nil for none.
func (k *Key) Notes() []byte { return bytes.Clone(k.file.notes) }

// MayKeep tells early whether Keep would fail.
func (p *Provider) MayKeep(name string) error { return p.store.mayCreate(name) }

// Keep gives a key another file, or its first one.
func (p *Provider) Keep(k *Key, name string, n Note) (*Key, error) {
	file, err := k.noted(n)
	if err == nil {
		err = p.store.mayCreate(name)
	}
	if err != nil {
		return nil, err
	}
	if file.label == "" {
		file.label = name
	}
	kept, err := p.keep(name, file)
	return kept, k.about("the file", err)
}

// Note writes another label, id or notes into a key's file. The key that it returns takes k's place.
func (p *Provider) Note(k *Key, n Note) (*Key, error) {
	file, err := k.noted(n)
	if err != nil {
		return nil, err
	}
	noted, err := newKey(p, k.name, k.path, file)
	if err == nil {
		err = p.store.replace(k, noted)
	}
	if err != nil {
		return nil, k.about("the file", err)
	}
	return noted, nil
}

// noted is what the file would say.
func (k *Key) noted(n Note) (*keyFile, error) {
	file := *k.file
	file.label, file.id, file.notes = n.Label, n.ID, n.Notes
	err := Template{Label: n.Label, ID: n.ID}.check()
	if err == nil && len(n.Notes) > maxNotes {
		err = fmt.Errorf("%w: notes of %d bytes, more than %d", ErrName, len(n.Notes), maxNotes)
	}
	return &file, k.about("the file", err)
}

const maxNotes = 8 << 10
