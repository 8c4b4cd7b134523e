package provider

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"tpmkey.example/internal/privilege"
	"tpmkey.example/internal/shell"
)

// SystemDir is where the keys of services are.
const SystemDir = "/etc/tpmkey/keys"

// Limits of what a store takes.
const (
	maxFile = 64 << 10 // bytes in a file
	maxName = 128      // bytes in a name
	keyMode = 0o600
)

// UserDir is where the caller's own keys are: $XDG_DATA_HOME/tpmkey, by default ~/.local/share/tpmkey. A process with raised privileges does not
// listen to its environment.
func UserDir() (string, error) {
	home := ""
	if !privilege.Raised() {
		if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
			return filepath.Join(data, "tpmkey"), nil
		}
		home = os.Getenv("HOME")
	}
	if !filepath.IsAbs(home) {
		u, err := user.LookupId(strconv.Itoa(os.Getuid()))
		if err != nil {
			return "", fmt.Errorf("find the key directory: %w; set XDG_DATA_HOME", err)
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".local", "share", "tpmkey"), nil
}

// DefaultDirs are the caller's own directory and SystemDir.
func DefaultDirs() []string {
	if dir, err := UserDir(); err == nil {
		return []string{dir, SystemDir}
	}
	return []string{SystemDir}
}

// CheckName tells whether a name can be a key's: it becomes a file's name and a shell word.
func CheckName(name string) error {
	why := ""
	switch {
	case name == "":
		why = "it is empty"
	case len(name) > maxName:
		why = fmt.Sprintf("it has %d bytes, more than %d", len(name), maxName)
	case name[0] == '.' || name[0] == '-':
		why = fmt.Sprintf("it begins with %q", name[:1])
	case strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == utf8.RuneError || !unicode.IsPrint(r) }):
		why = "it has a slash, a control character or broken UTF-8 in it"
	}
	if why != "" {
		return fmt.Errorf("%w: %.40q: %s; use letters, digits, dot, dash and underscore", ErrName, name, why)
	}
	return nil
}

// CheckNewName tells whether a key can be given a name: CheckName, and it is not the name of a key's file, which people take for the key's own.
func CheckNewName(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if short, isFile := strings.CutSuffix(name, suffix); isFile {
		return fmt.Errorf("%w: %q ends as its file will; without %s: %s", ErrName, name, suffix, short)
	}
	return nil
}

// A store is a list of directories with key files.
type store struct {
	dirs []string

	mu     sync.Mutex
	known  map[string]scanned // by path
	listed []listing          // of dirs, as Keys found them
	work   Work
}

func newStore(dirs []string) store {
	return store{dirs: dirs, known: map[string]scanned{}, listed: make([]listing, len(dirs))}
}

// scanned is what a file held when it was read, and what would show that it has changed.
type scanned struct {
	stamp stamp
	key   *Key
	err   error
}

type stamp struct {
	device, inode uint64
	size          int64
	changed       unix.Timespec // ctime: permissions count too
}

func stampOf(st *unix.Stat_t) stamp { return stamp{st.Dev, st.Ino, st.Size, st.Ctim} }

const suffix = ".pem"

func (s *store) keyPath(dir, name string) string { return filepath.Join(dir, name+suffix) }

// sibling is a file that belongs to a key file.
func sibling(path, otherSuffix string) string { return strings.TrimSuffix(path, suffix) + otherSuffix }

// Keys gives all keys that sign or decrypt, directory by directory, by name. The error joins a *FileError for each file that was refused; the keys are
// good even then. A key hides those of the same name in later directories.
func (p *Provider) Keys() ([]*Key, error) {
	keys, err := p.AllKeys()
	return slices.DeleteFunc(keys, (*Key).Attests), err
}

// AllKeys gives what Keys does, and the keys that attest these.
func (p *Provider) AllKeys() ([]*Key, error) {
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []*Key
	var refused []error
	seen := map[string]bool{}
	for i, dir := range s.dirs {
		names, err := s.list(i)
		if err != nil {
			refused = append(refused, err)
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			if k, err := s.read(p, dir, name); err != nil {
				refused = append(refused, err)
			} else {
				keys = append(keys, k)
			}
		}
	}
	return keys, errors.Join(refused...)
}

// Key gives the key of a name, from the first directory that has one.
func (p *Provider) Key(name string) (*Key, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	s := &p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range s.dirs {
		k, err := s.read(p, dir, name)
		if !errors.Is(err, os.ErrNotExist) || isLink(s.keyPath(dir, name)) {
			return k, err
		}
	}
	if short, isFile := strings.CutSuffix(name, suffix); isFile && CheckName(short) == nil {
		return nil, fmt.Errorf("%w: %q is not in %s; a key's name is that of its file without %s: %s", ErrNotFound, name, strings.Join(s.dirs, " or "), suffix, short)
	}
	return nil, fmt.Errorf("%w: %q is not in %s; tpmkey list shows those that are, and tpmkey new makes one", ErrNotFound, name, strings.Join(s.dirs, " or "))
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == os.ModeSymlink
}

// linkError says of a file that is there, and yet is not, why.
func linkError(path string, err error) error {
	to, linked := os.Readlink(path)
	if linked != nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return fmt.Errorf("it is a link to %s: %w", to, err)
}

// read gives a key from its file, or as it was read before if the file is the same. The caller holds mu.
func (s *store) read(p *Provider, dir, name string) (*Key, error) {
	path := s.keyPath(dir, name)
	if known, ok := s.known[path]; ok && s.isStill(path, known.stamp) {
		return known.key, known.err
	}
	s.work.Reads++
	key, stamp, err := readKey(p, name, path)
	if errors.Is(err, os.ErrNotExist) {
		delete(s.known, path)
		return nil, &FileError{path, linkError(path, err)}
	}
	if err != nil {
		err = &FileError{path, err}
	}
	s.known[path] = scanned{stamp, key, err}
	return key, err
}

// isStill tells whether the file at a path is the one that a stamp is of.
func (s *store) isStill(path string, was stamp) bool {
	var st unix.Stat_t
	s.work.Looks++
	return unix.Stat(path, &st) == nil && stampOf(&st) == was
}

func readKey(p *Provider, name, path string) (*Key, stamp, error) {
	var of stamp // zero where nothing was read, and then it is tried again
	text, err := readRegular(path, func(st *unix.Stat_t, path string) error {
		of = stampOf(st)
		return checkPrivate(st, path)
	})
	if err != nil {
		return nil, of, err
	}
	file, err := parseKeyFile(text)
	if err != nil {
		return nil, of, err
	}
	k, err := newKey(p, name, path, file)
	return k, of, err
}

// readPrivate reads a key file, which nobody else can read or change.
func readPrivate(path string) ([]byte, error) { return readRegular(path, checkPrivate) }

// readRegular reads a regular file of bounded size, if its owner and mode are right. It is opened without waiting: a FIFO would block for ever.
func readRegular(path string, check func(*unix.Stat_t, string) error) ([]byte, error) {
	return readBounded(path, maxFile, check)
}

func readBounded(path string, most int64, check func(*unix.Stat_t, string) error) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, formatError("it is not a regular file")
	case st.Size > most:
		return nil, formatError("it has %d bytes, more than %d", st.Size, most)
	}
	if err := check(&st, path); err != nil {
		return nil, err
	}
	return readWhole(fd, int(st.Size))
}

// readWhole reads a file of a known size, without the poller and the buffers of os.File: in a store of thousands they count.
func readWhole(fd, size int) ([]byte, error) {
	b, n := make([]byte, size), 0
	for n < size {
		got, err := unix.Read(fd, b[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case got == 0:
			return nil, formatError("it became shorter while it was read")
		default:
			n += got
		}
	}
	return b, nil
}

// public is the check of a file that may be anybody's.
func public(*unix.Stat_t, string) error { return nil }

// checkPrivate wants a file that only its owner can read, who is the caller or root. A file of root's may be read by a group: that is how services
// get theirs.
func checkPrivate(st *unix.Stat_t, path string) error {
	forbidden := uint32(0o077)
	if st.Uid == 0 {
		forbidden = 0o037
	}
	if st.Mode&forbidden != 0 {
		return fmt.Errorf("%w: its mode is %04o; run: chmod 600 %s", ErrInsecure, st.Mode&0o7777, shell.Word(path))
	}
	return checkOwner(st, filepath.Dir(path))
}

func checkOwner(st *unix.Stat_t, dir string) error {
	me := caller{real: uint32(os.Getuid()), effective: uint32(os.Geteuid()), raised: privilege.Raised()}
	if !me.mayUse(st.Uid, dir) {
		return fmt.Errorf("%w: it belongs to user %d, not to you", ErrInsecure, st.Uid)
	}
	return nil
}

// ReadBeside reads a file that a directory of keys has below it, of a bounded size. Whose it may be is as with the keys; unlike these, all may read it.
func ReadBeside(dir, path string, most int64) ([]byte, error) {
	return readBounded(path, most, func(st *unix.Stat_t, path string) error {
		if st.Mode&0o022 != 0 {
			return fmt.Errorf("%w: its mode is %04o; run: chmod go-w %s", ErrInsecure, st.Mode&0o7777, shell.Word(path))
		}
		return checkOwner(st, dir)
	})
}

// A caller is who a process is.
type caller struct {
	real, effective uint32 // uids
	raised          bool
}

// mayUse tells whether a caller may use a key file in a directory by its owner. A process with raised privileges opens what whoever started it may not, and his
// directory can have links to other users' keys in it, or be one: there each file must be his own.
func (c caller) mayUse(owner uint32, dir string) bool {
	if c.raised && dir != SystemDir {
		return owner == c.real
	}
	return owner == c.effective || owner == 0 || c.effective == 0
}

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
	return os.Chmod(dir, mode)
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
	defer os.Remove(file)
	if err := os.Rename(file, k.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(k.path))
}

// writeTemporary writes a hidden file beside path to the disk.
func writeTemporary(path string, text []byte, mode os.FileMode) (name string, err error) {
	return writeAs(path, text, func(f *os.File) error { return f.Chmod(mode) })
}

// writeLike is writeTemporary with the owner and the mode of the file at path.
func writeLike(path string, text []byte) (name string, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", err
	}
	return writeAs(path, text, func(f *os.File) error {
		return errors.Join(f.Chown(int(st.Uid), int(st.Gid)), f.Chmod(os.FileMode(st.Mode&0o777)))
	})
}

// writeAs gives the file its owner and mode while it is open: whoever owns the directory can put a link to another file in its place, and root would change that.
// Its errors name the file that it is to become.
func writeAs(path string, text []byte, own func(*os.File) error) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return "", renamedError(path, err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, own(f), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), renamedError(path, err)
}

// renamedError leaves out the name that a file has meanwhile, which tells nobody anything.
func renamedError(path string, err error) error {
	if meanwhile := (*os.PathError)(nil); errors.As(err, &meanwhile) {
		return fmt.Errorf("write %s: %w", path, meanwhile.Err)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
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
