package provider

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// keyMode is the mode of a new key file.
const keyMode = 0o600

// mayCreate refuses early what would fail late, after seconds of key generation.
func (s *store) mayCreate(name string) error {
	if err := CheckNewName(name); err != nil {
		return err
	}
	if err := makeDir(s.dirs[0], dirMode(s.dirs[0])); err != nil {
		return fmt.Errorf("create key %q: %w", name, err)
	}
	if err := unix.Access(s.dirs[0], unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("create key %q: the key directory %s cannot be written: %w", name, s.dirs[0], err)
	}
	if _, err := os.Lstat(s.keyPath(s.dirs[0], name)); err == nil {
		return existsError(s.keyPath(s.dirs[0], name))
	}
	return inTheWay(sibling(s.keyPath(s.dirs[0], name), ".pub"))
}

// dirMode is who may enter a directory of keys: the keys of services are read by these, and which ones there are is no secret.
func dirMode(dir string) os.FileMode {
	if dir == SystemDir {
		return 0o755
	}
	return 0o700
}

// makeDir makes a directory and what is missing on the way to it, whatever the umask says. What is there stays as it is.
func makeDir(dir string, mode os.FileMode) error {
	err := os.Mkdir(dir, mode)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeDir(filepath.Dir(dir), mode); err == nil {
			err = os.Mkdir(dir, mode)
		}
	}
	if info, errStat := os.Stat(dir); errors.Is(err, os.ErrExist) && errStat == nil && info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	return giveMode(dir, mode)
}

// giveMode gives a new directory its mode while it is open: whoever owns the one above can put a link to another in its place, and root would change that.
func giveMode(dir string, mode os.FileMode) error {
	d, err := os.OpenFile(filepath.Clean(dir), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Chmod(mode)
}

// inTheWay refuses to write over a file that is somebody's: the directory may be one with keys that are in no TPM.
func inTheWay(path string) error {
	if isThere(path) {
		return fmt.Errorf("%w, or did: %s is in the way; move it", ErrExists, path)
	}
	return nil
}

func existsError(path string) error {
	return fmt.Errorf("%w: %s; delete that one first, or choose another name", ErrExists, path)
}

// add writes NAME.pem and NAME.pub. Both are complete on disk under other names before the first gets its own, by a link that fails if somebody was
// faster; so there is a whole key or none, also on a full disk and when the process dies.
func (s *store) add(k *Key) error {
	text, err := k.file.format()
	if err != nil {
		return err
	}
	public, err := k.AuthorizedKey()
	if err != nil {
		return err
	}
	unlock, err := lockDir(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer unlock()
	if err := inTheWay(sibling(k.path, ".pub")); err != nil && !isThere(k.path) { // somebody was faster
		return err
	}
	key, err := writeTemporary(k.path, text, keyMode)
	if err != nil {
		return err
	}
	defer os.Remove(key)
	pub, err := writeTemporary(k.path, public, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(pub)
	if err := os.Link(key, k.path); errors.Is(err, os.ErrExist) {
		return existsError(k.path)
	} else if err != nil {
		return err
	}
	if err := os.Rename(pub, sibling(k.path, ".pub")); err != nil {
		os.Remove(k.path)
		return err
	}
	return syncDir(filepath.Dir(k.path))
}

// mayReplace refuses early what would fail late: a file that is not the one that the key was read from, or a directory that cannot be written.
func (s *store) mayReplace(k *Key) error {
	text, err := readPrivate(k.path)
	if err != nil {
		return err
	}
	file, err := parseKeyFile(text)
	if err != nil || !bytes.Equal(file.private, k.file.private) {
		return fmt.Errorf("%s has changed meanwhile; try again", k.path)
	}
	if err := unix.Access(filepath.Dir(k.path), unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("the key directory %s cannot be written: %w", filepath.Dir(k.path), err)
	}
	return nil
}

// replace writes a key's file anew. Whoever dies or runs out of disk on the way leaves the old file as it was. Owner and mode stay: services read theirs as a
// group.
func (s *store) replace(old, k *Key) error {
	unlock, err := lockDir(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.mayReplace(old); err != nil { // another process was faster
		return err
	}
	text, err := k.file.format()
	if err != nil {
		return err
	}
	file, err := writeLike(old.path, text)
	if err != nil {
		return err
	}
	return putInPlace(file, k.path)
}

// Delete removes a key's files: the public key first, so that whoever dies on the way leaves a key that can be deleted, and nothing in the way of a new one.
func (p *Provider) Delete(k *Key) error {
	unlock, err := lockDir(filepath.Dir(k.path))
	if err != nil {
		return fmt.Errorf("delete key %q: %w", k.name, err)
	}
	defer unlock()
	if err := ifThere(os.Remove(sibling(k.path, ".pub"))); err != nil {
		return fmt.Errorf("delete key %q: %w", k.name, err)
	}
	if err := os.Remove(k.path); err != nil {
		return fmt.Errorf("delete key %q: %w", k.name, err)
	}
	if err := ifThere(os.Remove(k.CertificatePath())); err != nil {
		return fmt.Errorf("delete key %q: its private part is deleted, but: %w", k.name, err)
	}
	return syncDir(filepath.Dir(k.path))
}
