package provider

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Rename gives a key another name, and its public key and its certificate with it. The label follows when it was the old name; the id stays. No other key is
// touched: errors.Is tells ErrExists. The key that it returns takes k's place. Whoever dies on the way leaves the key usable, under the old name, the new one, or
// both; renaming it again finishes the work.
func (p *Provider) Rename(k *Key, name string) (*Key, error) {
	renamed, err := p.rename(k, name)
	if err != nil {
		return nil, fmt.Errorf("rename key %q: %w", k.name, err)
	}
	return renamed, nil
}

func (p *Provider) rename(k *Key, name string) (*Key, error) {
	if err := CheckNewName(name); err != nil {
		return nil, err
	}
	unlock, err := lockDir(filepath.Dir(k.path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	renamed, text, err := p.renamed(k, name)
	if err != nil {
		return nil, err
	}
	if err := p.mayRename(k, renamed); err != nil {
		return nil, err
	}
	steps, clean, err := renaming(k, renamed, text)
	defer clean()
	for _, step := range steps {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		return nil, err
	}
	return renamed, syncDir(filepath.Dir(k.path))
}

// renamed is the key under its new name, and what its file will say.
func (p *Provider) renamed(k *Key, name string) (*Key, []byte, error) {
	if err := p.store.mayReplace(k); err != nil {
		return nil, nil, err
	}
	text, err := readPrivate(k.path)
	if err != nil {
		return nil, nil, err
	}
	text = relabelled(text, k.name, name)
	file, err := parseKeyFile(text)
	if err != nil {
		return nil, nil, err
	}
	renamed, err := newKey(p, name, p.store.keyPath(filepath.Dir(k.path), name), file)
	return renamed, text, err
}

// relabelled is a file's text with the label that is a name made another name. What other tools wrote stays as it is.
func relabelled(text []byte, old, new string) []byte {
	begin := max(0, bytes.Index(text, []byte("-----BEGIN "+pemType))) // without one it is damaged, which its parsing will tell
	var out bytes.Buffer
	for line := range bytes.Lines(text[:begin]) {
		value, ours := strings.CutPrefix(strings.TrimRight(string(line), "\r\n"), labelLine)
		if label, err := strconv.Unquote(value); ours && err == nil && label == old {
			line = fmt.Appendf(nil, "%s%q\n", labelLine, new)
		}
		out.Write(line)
	}
	out.Write(text[begin:])
	return out.Bytes()
}

// mayRename refuses a name that is taken: in any directory, because one of the two keys would hide the other. What an earlier renaming of the same key left
// is not in its way.
func (p *Provider) mayRename(k, renamed *Key) error {
	if renamed.name == k.name {
		return fmt.Errorf("it has that name already, and nothing was changed (%w)", ErrExists)
	}
	for _, dir := range p.store.dirs {
		path := p.store.keyPath(dir, renamed.name)
		if isThere(path) && !(path == renamed.path && isKey(path, k)) {
			return existsError(path)
		}
	}
	crt, pub := renamed.CertificatePath(), sibling(renamed.path, ".pub")
	switch {
	case isThere(crt) && (isThere(k.CertificatePath()) || !isThere(renamed.path)):
		return inTheWay(crt)
	case isThere(pub) && !isPublicOf(pub, renamed):
		return inTheWay(pub)
	}
	return nil
}

// isKey tells whether a file holds a key.
func isKey(path string, k *Key) bool {
	text, err := readPrivate(path)
	if err != nil {
		return false
	}
	file, err := parseKeyFile(text)
	return err == nil && bytes.Equal(file.private, k.file.private) && bytes.Equal(file.public, k.file.public)
}

func isPublicOf(path string, k *Key) bool {
	text, err := readRegular(path, public)
	line, err2 := k.AuthorizedKey()
	return err == nil && err2 == nil && bytes.Equal(text, line)
}

// renaming prepares the new files beside the old ones, and gives the steps that are left. At any time one of the two names has the key and its certificate: the
// certificate moves, in one step, while both have the key. clean removes what the steps have not used.
func renaming(k, renamed *Key, text []byte) (steps []func() error, clean func(), err error) {
	line, err := renamed.AuthorizedKey()
	if err != nil {
		return nil, func() {}, err
	}
	key, err := writeLike(k.path, text)
	if err != nil {
		return nil, func() {}, err
	}
	pub, err := writeTemporary(k.path, line, 0o644)
	clean = func() { os.Remove(key); os.Remove(pub) }
	return []func() error{
		func() error { return link(key, renamed, k) },
		func() error { return os.Rename(pub, sibling(renamed.path, ".pub")) },
		func() error { return ifThere(os.Rename(k.CertificatePath(), renamed.CertificatePath())) },
		func() error { return ifThere(os.Remove(sibling(k.path, ".pub"))) },
		func() error { return os.Remove(k.path) },
	}, clean, err
}

// link gives the prepared file its name, unless an earlier renaming of the same key did.
func link(file string, renamed, k *Key) error {
	err := os.Link(file, renamed.path)
	if errors.Is(err, os.ErrExist) {
		if isKey(renamed.path, k) {
			return nil
		}
		return existsError(renamed.path)
	}
	return err
}
