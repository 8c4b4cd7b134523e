//go:build check

package vm

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// An image is an initial file system: an archive that the kernel unpacks into its first one (cpio's newc format, Documentation/driver-api/early-userspace/buffer-format.rst).
type image struct {
	t       *testing.T
	archive bytes.Buffer
	has     map[string]bool
}

const (
	directory = 0o040755
	program   = 0o100755
	text      = 0o100644
	symlink   = 0o120777
)

func newImage(t *testing.T) *image {
	i := &image{t: t, has: map[string]bool{}}
	i.entry(".", directory, nil) // whose mode is that of the root directory
	return i
}

// entry adds a file, once.
func (i *image) entry(name string, mode uint32, content []byte) {
	if i.has[name] {
		return
	}
	i.has[name] = true
	// Magic, inode, mode, uid, gid, links, mtime, size, four device numbers, length of the name, no checksum.
	fields := []uint32{uint32(len(i.has)), mode, 0, 0, 1, 0, uint32(len(content)), 0, 0, 0, 0, uint32(len(name) + 1), 0}
	i.archive.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(&i.archive, "%08X", f)
	}
	i.archive.WriteString(name + "\x00")
	i.pad()
	i.archive.Write(content)
	i.pad()
}

func (i *image) pad() {
	for i.archive.Len()%4 > 0 {
		i.archive.WriteByte(0)
	}
}

// bytes ends the archive.
func (i *image) bytes() []byte {
	i.entry("TRAILER!!!", 0, nil)
	return i.archive.Bytes()
}

// parents adds the directories above a path.
func (i *image) parents(path string) {
	for n, c := range path {
		if c == '/' && n > 0 {
			i.entry(path[:n], directory, nil)
		}
	}
}

// write adds a file at an absolute path.
func (i *image) write(path string, mode uint32, content []byte) {
	path = strings.TrimPrefix(path, "/")
	i.parents(path)
	i.entry(path, mode, content)
}

// copy adds a file of this machine at the same path, and what a symbolic link points to at its path.
func (i *image) copy(path string) {
	i.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		i.t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		i.t.Fatal(err)
	}
	if real == path {
		i.write(path, modeOf(i.t, path), content)
		return
	}
	i.write(path, symlink, []byte(real))
	i.copy(real)
}

// unpack adds the files of a Debian package, as dpkg would.
func (i *image) unpack(deb string) {
	i.t.Helper()
	archive, err := exec.Command("dpkg-deb", "--fsys-tarfile", deb).Output()
	if err != nil {
		i.t.Fatalf("%s: %v", deb, err)
	}
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := files.Next()
		if err == io.EOF {
			return
		}
		content, bad := io.ReadAll(files)
		if err != nil || bad != nil {
			i.t.Fatalf("%s: %v, %v", deb, err, bad)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			i.write(path.Join("/", h.Name), 0o100000|uint32(h.Mode), content)
		case tar.TypeSymlink:
			i.write(path.Join("/", h.Name), symlink, []byte(h.Linkname))
		}
	}
}

func modeOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&0o111 != 0 {
		return program
	}
	return text
}

// copyAs adds a file at another path.
func (i *image) copyAs(to, path string) {
	i.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		i.t.Fatal(err)
	}
	i.write(to, modeOf(i.t, path), content)
}

// copyProgram adds a program or a library, and the libraries that it needs.
func (i *image) copyProgram(path string) {
	i.t.Helper()
	i.copy(path)
	i.libraries(path)
}

func (i *image) libraries(path string) {
	i.t.Helper()
	out, err := exec.Command("ldd", path).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "not a dynamic executable") || strings.Contains(string(out), "statically linked") {
			return
		}
		i.t.Fatalf("ldd %s: %v: %s", path, err, out)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			i.copy(word)
		}
	}
}

// copyNamed adds a program that is found in PATH or where root has programs.
func (i *image) copyNamed(names ...string) {
	i.t.Helper()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			path = "/usr/sbin/" + name
		}
		i.copyProgram(path)
	}
}

// copyTree adds what is in a directory, but for some names.
func (i *image) copyTree(root string, skip func(name string) bool) {
	i.t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case skip(d.Name()) && d.IsDir():
			return fs.SkipDir
		case skip(d.Name()) || d.IsDir():
			return nil
		}
		i.copy(path)
		return nil
	})
	if err != nil {
		i.t.Fatal(err)
	}
}
