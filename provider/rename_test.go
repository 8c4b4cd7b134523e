package provider

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func init() {
	jobs["rename"], jobs["traced rename"] = renameKey, traced(renameKey)
	jobs["rename on a full disk"] = onFullDisk(renameKey)
}

// renameKey calls the key "web" of a directory "mail".
func renameKey(dir string) (func() error, error) {
	p := Open([]string{dir}, nil)
	k, err := p.Key("web")
	return func() error {
		_, err := p.Rename(k, "mail")
		return err
	}, err
}

const someCertificate = "what is in the certificate's file"

// renameable is a directory with a key "web" whose label is its name, and a certificate.
func renameable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	k, err := keyIn(dir, oldPrivate)
	check(t, err)
	k.file.label = "web"
	check(t, k.provider.store.add(k))
	check(t, os.WriteFile(k.CertificatePath(), []byte(someCertificate), 0o644))
	return dir
}

// names are the files of a directory, but for the lock.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, entry := range entries {
		if entry.Name() != lockFile {
			names = append(names, entry.Name())
		}
	}
	return names
}

// hasAll tells whether the key is there under a name, with its certificate.
func hasAll(t *testing.T, dir, name string) bool {
	t.Helper()
	k, err := Open([]string{dir}, nil).Key(name)
	if err != nil {
		return false
	}
	text, err := os.ReadFile(k.CertificatePath())
	return err == nil && string(text) == someCertificate && string(k.file.private) == oldPrivate
}

// isRenamed wants the key under its new name only, with all that belongs to it.
func isRenamed(t *testing.T, dir string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, []string{"mail.crt", "mail.pem", "mail.pub"}) || !hasAll(t, dir, "mail") {
		t.Errorf("afterwards there are %v", got)
	}
	pub, err := os.ReadFile(filepath.Join(dir, "mail.pub"))
	if err != nil || !bytes.HasSuffix(pub, []byte(" mail\n")) {
		t.Errorf("the public key says %q, %v", pub, err)
	}
}

func TestRename(t *testing.T) {
	dir := renameable(t)
	check(t, os.Chmod(filepath.Join(dir, "web.pem"), 0o400))
	p := Open([]string{dir}, nil)
	k, err := p.Key("web")
	check(t, err)
	renamed, err := p.Rename(k, "mail")
	check(t, err)
	isRenamed(t, dir)
	if renamed.Name() != "mail" || renamed.Label() != "mail" || !bytes.Equal(renamed.ID(), k.ID()) || renamed.identity != k.identity {
		t.Errorf("renamed: %q, label %q, id %x", renamed.Name(), renamed.Label(), renamed.ID())
	}
	if again, err := p.Key("mail"); err != nil || again.Label() != "mail" {
		t.Errorf("read again: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "mail.pem"))
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("its mode was 0400 and is %v, %v", info.Mode(), err)
	}
	if _, err := p.Rename(k, "third"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("renamed once more under the old name: %v", err)
	}
}

// Labels that somebody has chosen stay, and so does what other tools wrote.
func TestRelabelled(t *testing.T) {
	const begin, rest = "-----BEGIN TSS2 PRIVATE KEY-----\n", "tpmkey-label: \"web\"\n"
	for _, row := range []struct{ before, after string }{
		{"tpmkey-label: \"web\"\n", "tpmkey-label: \"mail\"\n"},
		{"a remark\ntpmkey-label: \"web\"\r\ntpmkey-id: 01\n", "a remark\ntpmkey-label: \"mail\"\ntpmkey-id: 01\n"},
		{"tpmkey-label: \"web server\"\n", "tpmkey-label: \"web server\"\n"},
		{"tpmkey-label: \"\"\n", "tpmkey-label: \"\"\n"},
		{"tpmkey-label: web\n", "tpmkey-label: web\n"},
		{"a remark without an end ", "a remark without an end "},
		{"", ""},
	} {
		if got := string(relabelled([]byte(row.before+begin+rest), "web", "mail")); got != row.after+begin+rest {
			t.Errorf("%q became %q", row.before, got)
		}
	}
}

// Nobody is written over: no key, no certificate, no public key, in no directory.
func TestRenameInTheWay(t *testing.T) {
	for name, row := range map[string]struct {
		to   string
		lies string // what lies where
		is   error
	}{
		"its own name":           {"web", "", ErrExists},
		"another key":            {"mail", "mail.pem", ErrExists},
		"a certificate":          {"mail", "mail.crt", ErrExists},
		"a public key":           {"mail", "mail.pub", ErrExists},
		"in the next directory":  {"mail", "next/mail.pem", ErrExists},
		"no name":                {"../mail", "", ErrName},
		"a file that is no more": {"mail", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := renameable(t)
			next := filepath.Join(dir, "next")
			check(t, os.Mkdir(next, 0o700))
			if row.lies != "" {
				check(t, os.WriteFile(filepath.Join(dir, row.lies), []byte("somebody's"), 0o600))
			}
			p := Open([]string{dir, next}, nil)
			k, err := p.Key("web")
			check(t, err)
			if row.is == nil {
				check(t, os.Remove(k.Path()))
			}
			before := contents(dir) + contents(next)
			if _, err := p.Rename(k, row.to); err == nil || !errors.Is(err, row.is) && row.is != nil {
				t.Errorf("%v", err)
			}
			if after := contents(dir) + contents(next); after != before {
				t.Errorf("there was\n%sand now there is\n%s", before, after)
			}
		})
	}
}

// After any number of its steps one of the two names has the key and its certificate, and renaming again does what is left.
func TestRenameInSteps(t *testing.T) {
	for n := 0; ; n++ {
		dir := renameable(t)
		p := Open([]string{dir}, nil)
		k, err := p.Key("web")
		check(t, err)
		renamed, text, err := p.renamed(k, "mail")
		check(t, err)
		steps, clean, err := renaming(k, renamed, text)
		check(t, err)
		for _, step := range steps[:n] {
			check(t, step())
		}
		clean()
		if !hasAll(t, dir, "web") && !hasAll(t, dir, "mail") {
			t.Errorf("after %d steps there are %v", n, names(t, dir))
		}
		if n == len(steps) {
			isRenamed(t, dir)
			return
		}
		check(t, do(renameKey, dir))
		isRenamed(t, dir)
	}
}

// A rename that cannot be written leaves all as it was.
func TestRenameFails(t *testing.T) {
	for job, row := range map[string]struct {
		prepare func(*testing.T, string)
		says    string
	}{
		"rename on a full disk": {nothing, "file too large"},
		"rename":                {func(t *testing.T, dir string) { chmod(t, dir, 0o500) }, "permission denied"},
	} {
		dir := renameable(t)
		row.prepare(t, dir)
		before := contents(dir)
		said, err := output(asNobody(t, again(t, job, dir), dir))
		if err == nil || !strings.Contains(said, row.says) {
			t.Errorf("%s: said %q, %v", job, said, err)
		}
		if after := contents(dir); after != before {
			t.Errorf("%s: there was\n%sand now there is\n%s", job, before, after)
		}
	}
}

// Two processes that rename a key at once: the one does it, and the other finds it gone or done.
func TestRenamedAtOnce(t *testing.T) {
	dir := renameable(t)
	first, second := again(t, "rename", dir), again(t, "rename", dir)
	check(t, first.Start())
	check(t, second.Start())
	if err1, err2 := first.Wait(), second.Wait(); err1 != nil && err2 != nil {
		t.Errorf("both failed: %v, %v", err1, err2)
	}
	isRenamed(t, dir)
}

// A file that is damaged while it is read keeps its text, and is refused by its parsing.
func TestRelabelDamaged(t *testing.T) {
	for _, text := range []string{"", "tpmkey-label: \"web\"\n"} {
		if got := relabelled([]byte(text), "web", "mail"); string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
