package namespace

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"tpmkey.example/filter"
)

// MaxSize is far more than any file needs.
const MaxSize = 1 << 20

// file is what a file may say.
type file struct {
	Namespace []table `toml:"namespace"`
}

// table is a [[namespace]]. A pointer tells what was left out from what is zero.
type table struct {
	Name            *string   `toml:"name"`
	UID             *[]any    `toml:"uid"`
	GID             *[]any    `toml:"gid"`
	Cgroup          *[]string `toml:"cgroup"`
	Socket          *string   `toml:"socket"`
	SocketMode      *string   `toml:"socket-mode"`
	SocketOwner     *string   `toml:"socket-owner"`
	SocketGroup     *string   `toml:"socket-group"`
	VTPM            *bool     `toml:"vtpm"`
	Filter          *string   `toml:"filter"`
	Chip            *int      `toml:"chip"`
	Locality        *int      `toml:"locality"`
	Connections     *int      `toml:"connections"`
	Objects         *int      `toml:"objects"`
	ObjectsPerUser  *int      `toml:"objects-per-user"`
	Sessions        *int      `toml:"sessions"`
	SessionsPerUser *int      `toml:"sessions-per-user"`
}

// known are the keys of a table, in words.
const known = "name, uid, gid, cgroup, socket, socket-mode, socket-owner, socket-group, vtpm, filter, chip, locality, connections, objects, objects-per-user, sessions, sessions-per-user"

// A Reader gives a profile that is in a file. It decides whom it trusts to have written that.
type Reader func(path string) (*filter.Filter, error)

// Parse reads a file. The error names the line, what is wrong there, and what would be right.
func Parse(text string, read Reader) (*Set, error) {
	var f file
	d := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, explain(err)
	}
	at := linesOf(text)
	set := &Set{}
	for i := range f.Namespace {
		n, key, err := f.Namespace[i].namespace(set, read)
		if err != nil {
			return nil, at.error(i, key, n.Name, err)
		}
		n.Line = at.line(i, "")
		set.Namespaces = append(set.Namespaces, n)
	}
	return set, nil
}

// explain puts the line first in what the library says.
func explain(err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) && len(missing.Errors) > 0 {
		line, _ := missing.Errors[0].Position()
		key := missing.Errors[0].Key()
		return fmt.Errorf("line %d: there is no %q; a [[namespace]] has %s", line, strings.Join(key, "."), known)
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		if key := wrong.Key(); len(key) == 2 && strings.Contains(wrong.Error(), "cannot decode") { // the library tells of types of Go
			return fmt.Errorf("line %d: %s: %s", line, key[1], kinds(key[1]))
		}
		return fmt.Errorf("line %d: %s", line, strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	return err
}

// kinds says how the value of a key is written.
func kinds(key string) string {
	switch key {
	case "uid", "gid":
		return `it takes a list, like [1000, "2000-2999"]`
	case "cgroup":
		return `it takes a list, like ["/system.slice/nginx.service"]`
	case "vtpm":
		return "it takes true or false"
	case "socket-mode":
		return `it takes text in quotation marks, like "0660"`
	case "name", "socket", "socket-owner", "socket-group", "filter":
		return "it takes text in quotation marks"
	}
	return "it takes a whole number, without quotation marks"
}

// A field is a key and how it is taken over.
type field struct {
	key  string
	take func() error
}

// namespace checks a table, and names the key that is wrong.
func (t *table) namespace(before *Set, read Reader) (n Namespace, key string, err error) {
	n.Chip = AnyChip
	for _, f := range []field{
		{"name", func() error { return t.takeName(&n, before) }},
		{"uid", func() error { return takeIDs(t.UID, &n.UIDs, users) }},
		{"gid", func() error { return takeIDs(t.GID, &n.GIDs, groups) }},
		{"cgroup", func() error { return takeCgroups(t.Cgroup, &n.Cgroups) }},
		{"socket", func() error { return t.takeSocket(&n, before) }},
		{"socket-mode", func() error { return t.takeMode(&n) }},
		{"socket-owner", func() error { return takeOwner(t.SocketOwner, n.Socket, users) }},
		{"socket-group", func() error { return takeOwner(t.SocketGroup, n.Socket, groups) }},
		{"vtpm", func() error { n.VTPM = t.VTPM != nil && *t.VTPM; return nil }},
		{"filter", func() error { return t.takeFilter(&n, read) }},
		{"chip", func() error { return takeNumber(t.Chip, &n.Chip, 0, maxChip) }},
		{"locality", func() error { return t.takeLocality(&n) }},
		{"connections", func() error { return takeNumber(t.Connections, &n.Limits.Connections, 1, maxConnections) }},
		{"objects", func() error { return takeNumber(t.Objects, &n.Limits.Objects, 1, maxObjects) }},
		{"objects-per-user", func() error { return takeNumber(t.ObjectsPerUser, &n.Limits.ObjectsPerUser, 1, maxObjects) }},
		{"sessions", func() error { return takeNumber(t.Sessions, &n.Limits.Sessions, 1, maxSessions) }},
		{"sessions-per-user", func() error { return takeNumber(t.SessionsPerUser, &n.Limits.SessionsPerUser, 1, maxSessions) }},
		{"name", func() error { return n.unreachable(before) }},
	} {
		if err := f.take(); err != nil {
			return n, f.key, err
		}
	}
	return n, "", nil
}

// The most that a file may ask for.
const (
	maxChip        = 65535
	maxLocality    = 4
	maxConnections = 4096
	maxObjects     = 4096
	maxSessions    = 48 // of the 64 that every chip has; the rest is kept for root and the kernel
)

func takeNumber(from *int, to *int, least, most int) error {
	if from == nil {
		return nil
	}
	if *from < least || *from > most {
		return fmt.Errorf("%d is not between %d and %d", *from, least, most)
	}
	*to = *from
	return nil
}

func (t *table) takeLocality(n *Namespace) error {
	var locality int
	err := takeNumber(t.Locality, &locality, 0, maxLocality)
	n.Locality = uint8(locality)
	return err
}

func (t *table) takeName(n *Namespace, before *Set) error {
	switch {
	case t.Name == nil:
		return errors.New("a namespace needs a name: name = \"web\"")
	case !isName(*t.Name):
		return fmt.Errorf("%q is no name; take up to 64 letters, digits, dots, dashes and underscores", *t.Name)
	}
	n.Name = *t.Name
	if other := before.Named(n.Name); other != nil {
		return fmt.Errorf("there is one of that name in line %d; take another name", other.Line)
	}
	return nil
}

func isName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return len(s) > 0 && len(s) <= 64 && strings.Trim(s, letters) == ""
}

// Named gives the namespace of a name, nil where there is none.
func (s *Set) Named(name string) *Namespace {
	for i := range s.Namespaces {
		if s.Namespaces[i].Name == name {
			return &s.Namespaces[i]
		}
	}
	return nil
}

// unreachable finds a namespace that nobody ever gets into: the one before it is for everybody.
func (n *Namespace) unreachable(before *Set) error {
	for i := range before.Namespaces {
		other := &before.Namespaces[i]
		if n.Socket == nil && !n.isForVTPM() && other.Socket == nil && !other.isForVTPM() && other.isForAll() {
			return fmt.Errorf("nobody gets here, since %q in line %d is for everybody; move it before that one", other.Name, other.Line)
		}
	}
	return nil
}

func (n *Namespace) isForAll() bool { return n.UIDs == nil && n.GIDs == nil && n.Cgroups == nil }

func (t *table) takeFilter(n *Namespace, read Reader) (err error) {
	if t.Filter == nil {
		return nil
	}
	n.Source = *t.Filter
	if strings.HasPrefix(n.Source, "/") {
		n.Filter, err = read(n.Source)
		return err
	}
	if n.Filter, err = filter.Named(n.Source); err != nil {
		return fmt.Errorf("%w; name one, or a file by its whole path", err)
	}
	return nil
}
