package doctor

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"tpmkey.example/internal/shell"
	"tpmkey.example/provider"
)

// dirs are the key directories where they are.
func (m *Machine) dirs() (dirs []string) {
	for _, dir := range m.Dirs {
		dirs = append(dirs, m.path(dir))
	}
	return dirs
}

// keyDirectories is the check key-directories: who can change one can put other keys there.
func keyDirectories(m *Machine) outcome {
	if data := m.Getenv("XDG_DATA_HOME"); data != "" && !filepath.IsAbs(data) {
		return warn("export XDG_DATA_HOME=$HOME/.local/share", "XDG_DATA_HOME is %q, which is no whole path and does not count", data)
	}
	var facts []string
	for _, dir := range m.Dirs {
		node, err := m.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			facts = append(facts, dir+" is not there yet")
			continue
		case err != nil:
			return fail("", "%s: %v", dir, err)
		case !node.Mode.IsDir():
			return fail("mv "+shell.Word(dir)+" "+shell.Word(dir+".old"), "%s is not a directory", dir)
		case node.UID != m.UID && node.UID != 0 && m.UID != 0:
			return fail("sudo chown -R "+m.userName(m.UID)+" "+shell.Word(dir), "%s belongs to %s, who can put other keys there", dir, m.userName(node.UID))
		case node.Mode.Perm()&0o022 != 0:
			return fail("chmod go-w "+shell.Word(dir), "%s may be changed by others (mode %04o), who can put other keys there", dir, node.Mode.Perm())
		}
		facts = append(facts, dir+" ("+m.describe(dir)+")")
	}
	return ok("%s", list(facts))
}

// keyFiles is the check key-files.
func keyFiles(m *Machine) outcome {
	keys, err := provider.Open(m.dirs(), nil).Keys()
	if err = m.own(err); err != nil {
		return fail(fixOfFiles(err), "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	var weak []string
	for _, k := range keys {
		if k.ROCA() {
			weak = append(weak, shell.Word(k.Name()))
		}
	}
	switch {
	case len(weak) > 0:
		return fail("make others, and trust these no more: tpmkey new NAME, tpmkey delete "+strings.Join(weak, ", "), "can be factored (ROCA, CVE-2017-15361): %s", list(weak))
	case len(keys) == 0:
		return ok("there are no keys yet; make one: tpmkey new")
	}
	return ok("%d can be read", len(keys))
}

// own leaves out what others keep from this person outside of the first directory, which is his own: keys of services.
func (m *Machine) own(refused error) error {
	joined, ok := refused.(interface{ Unwrap() []error })
	if !ok || len(m.Dirs) == 0 {
		return refused
	}
	var own []error
	for _, err := range joined.Unwrap() {
		var of *fs.PathError
		if !errors.Is(err, fs.ErrPermission) || errors.As(err, &of) && m.inside(of.Path) == m.Dirs[0] || isFileIn(err, m.path(m.Dirs[0])) {
			own = append(own, err)
		}
	}
	return errors.Join(own...)
}

func isFileIn(err error, dir string) bool {
	var file *provider.FileError
	return errors.As(err, &file) && filepath.Dir(file.Path) == dir
}

// fixOfFiles names a command where the mode of a file is what is wrong.
func fixOfFiles(err error) string {
	var file *provider.FileError
	if errors.As(err, &file) && errors.Is(file.Err, provider.ErrInsecure) {
		return "chmod 600 " + shell.Word(file.Path)
	}
	return "take out of the directory what is no key, or bring the file back from a backup"
}

// soon is how long before its end a certificate should be renewed.
const soon = 14 * 24 * time.Hour

// certificates is the check certificates. The gravest counts, and all are named.
func certificates(m *Machine) outcome {
	keys, _ := provider.Open(m.dirs(), nil).Keys() // key-files tells of those that are none
	all, some := outcome{}, 0
	for _, k := range keys {
		o, has := m.certificate(k)
		if !has {
			continue
		}
		some++
		all.Status = max(all.Status, o.Status)
		if o.Status != OK {
			all.fact, all.fix = join(all.fact, o.fact), join(all.fix, o.fix)
		}
	}
	switch {
	case some == 0:
		return ok("no key has one")
	case all.Status == OK:
		return ok("%d, of their keys and valid", some)
	}
	return all
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// fixOfCertificate goes to whoever signed the one that is there.
func fixOfCertificate(k *provider.Key) string {
	name := shell.Word(k.Name())
	switch {
	case k.SelfSigned():
		return "tpmkey cert -self-signed " + name
	case k.Certificate() == nil:
		return "attach the right one: tpmkey cert " + name + " FILE"
	}
	return "have its issuer sign another: tpmkey csr " + name + "; then attach what comes back: tpmkey cert " + name + " FILE"
}

func (m *Machine) certificate(k *provider.Key) (o outcome, has bool) {
	chain, err := k.Chain()
	if errors.Is(err, provider.ErrNoCertificate) && k.Certificate() == nil && !m.exists(m.inside(k.CertificatePath())) {
		return o, false
	}
	fix := fixOfCertificate(k)
	if err != nil {
		return fail(fix, "%v", err), true
	}
	switch c := chain[0]; {
	case m.Now.After(c.NotAfter):
		return fail(fix, "that of %q expired on %s", k.Name(), c.NotAfter.Format(time.DateOnly)), true
	case m.Now.Before(c.NotBefore):
		return fail("see the check clock; else "+fix, "that of %q is valid from %s on only", k.Name(), c.NotBefore.Format(time.DateOnly)), true
	case m.Now.Add(soon).After(c.NotAfter):
		return warn(fix, "that of %q expires on %s", k.Name(), c.NotAfter.Format(time.DateOnly)), true
	}
	return ok(""), true
}
