package namespace

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"tpmkey.example/filter"
)

// readProfile stands for a file with a profile.
func readProfile(path string) (*filter.Filter, error) {
	if path == "/etc/tpmkey/mine" {
		return filter.Parse("profile mine from use: less\n")
	}
	return nil, errors.New("no such file")
}

func parse(t *testing.T, text string) *Set {
	t.Helper()
	s, err := Parse(text, readProfile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const example = `# who gets what
[[namespace]]
name = "web"
uid = [33, "2000-2999"]
cgroup = ["/system.slice/nginx.service", "/system.slice/web/"]
filter = "use"
connections = 8
objects = 16
objects-per-user = 32
sessions = 2
sessions-per-user = 4

[[namespace]]
name = "container"
socket = "/run/tpmkey/container.sock"
socket-mode = "0660"
socket-owner = "root"
socket-group = "1234"
uid = ["root"]
filter = "/etc/tpmkey/mine"
chip = 1
locality = 2

[[namespace]]
name = "machine"
vtpm = true

[[namespace]]
name = "group"
gid = ["root", 500]

[[namespace]]
name = "rest"
filter = "use"
`

func TestParse(t *testing.T) {
	set := parse(t, example)
	for i := range set.Namespaces {
		if n := &set.Namespaces[i]; (n.Filter == nil) != (n.Source == "") || n.Filter != nil && !strings.HasSuffix(n.Source, n.Filter.Name()) {
			t.Errorf("%s: filter %v from %q", n.Name, n.Filter, n.Source)
		}
		set.Namespaces[i].Filter = nil
	}
	want := []Namespace{
		{Name: "web", Line: 2, UIDs: []IDRange{{33, 33}, {2000, 2999}}, Cgroups: []string{"/system.slice/nginx.service", "/system.slice/web/"}, Source: "use", Chip: AnyChip, Limits: Limits{8, 16, 32, 2, 4}},
		{Name: "container", Line: 13, UIDs: []IDRange{{0, 0}}, Socket: &Socket{"/run/tpmkey/container.sock", 0o660, 0, 1234}, Source: "/etc/tpmkey/mine", Chip: 1, Locality: 2},
		{Name: "machine", Line: 24, VTPM: true, Chip: AnyChip},
		{Name: "group", Line: 28, GIDs: []IDRange{{0, 0}, {500, 500}}, Chip: AnyChip},
		{Name: "rest", Line: 32, Source: "use", Chip: AnyChip},
	}
	if !reflect.DeepEqual(set.Namespaces, want) {
		t.Errorf("%+v, want %+v", set.Namespaces, want)
	}
	if with := set.VTPMs(); len(with) != 1 || with[0].Name != "machine" {
		t.Errorf("with a virtual TPM: %+v", with)
	}
	if sockets := set.Sockets(); len(sockets) != 1 || sockets[0].Path != "/run/tpmkey/container.sock" || !set.AsksForCgroups() || !set.AsksForGroups() {
		t.Errorf("sockets %+v, asks for cgroups %v", sockets, set.AsksForCgroups())
	}
	if empty := parse(t, ""); len(empty.Namespaces) != 0 || empty.AsksForCgroups() || empty.AsksForGroups() {
		t.Errorf("an empty file: %+v", empty)
	}
}

func TestOf(t *testing.T) {
	set := parse(t, example)
	const main, own = "/run/tpmkey/tpms.sock", "/run/tpmkey/container.sock"
	nginx := []string{"/system.slice/nginx.service"}
	for _, row := range []struct {
		name   string
		caller Caller
		want   string // "": refused
	}{
		{"uid and cgroup", Caller{33, nil, nginx, main, false}, "web"},
		{"uid in a range, below a cgroup", Caller{2999, nil, []string{"/", "/system.slice/web/a"}, main, false}, "web"},
		{"uid without the cgroup", Caller{33, nil, nil, main, false}, "rest"},
		{"below a cgroup that is named alone", Caller{33, nil, []string{"/system.slice/nginx.service/a"}, main, false}, "rest"},
		{"beside a cgroup", Caller{33, nil, []string{"/system.slice/website"}, main, false}, "rest"},
		{"the cgroup without the uid", Caller{34, nil, nginx, main, false}, "rest"},
		{"after the range", Caller{3000, nil, nginx, main, false}, "rest"},
		{"the socket", Caller{0, nil, nil, own, false}, "container"},
		{"the socket, but not for him", Caller{33, nil, nginx, own, false}, ""},
		{"for the socket, but by another", Caller{0, []uint32{1}, nil, main, false}, "rest"},
		{"a supplementary group", Caller{5, []uint32{7, 500}, nil, main, false}, "group"},
		{"who hides the cgroup that would give him less", Caller{33, nil, nil, main, true}, ""},
		{"who hides nothing that matters", Caller{0, []uint32{500}, nil, own, true}, "container"},
		{"who hides what he does not need", Caller{5, []uint32{500}, nil, main, true}, "group"},
		{"who may hide a group", Caller{5, []uint32{7}, nil, main, true}, ""},
		{"the node", Caller{5, []uint32{7, 500}, nil, "/dev/tpms", false}, "group"},
	} {
		n, refused := set.Of(row.caller)
		switch {
		case row.want == "" && (n != nil || !refused):
			t.Errorf("%s: %+v, refused %v", row.name, n, refused)
		case row.want != "" && (n == nil || n.Name != row.want || refused):
			t.Errorf("%s: %+v, refused %v, want %s", row.name, n, refused, row.want)
		}
	}
	if n, refused := parse(t, "").Of(Caller{}); n != nil || refused {
		t.Errorf("without namespaces: %+v, %v", n, refused)
	}
}

// Every mistake is said with its line and what would be right.
func TestMistakes(t *testing.T) {
	const head = "# first\n[[namespace]]\nname = \"web\"\n"
	for _, row := range []struct{ text, want string }{
		{"[[namespace]\n", "line 1: "},
		{head + "chip = \n", "line 4: "},
		{head + "chip = \"0\"\n", "line 4: chip: it takes a whole number, without quotation marks"},
		{head + "connections = 1.5\n", "line 4: connections: it takes a whole number"},
		{head + "uid = \"root\"\n", `line 4: uid: it takes a list, like [1000, "2000-2999"]`},
		{head + "cgroup = \"/a\"\n", `line 4: cgroup: it takes a list, like ["/system.slice`},
		{head + "cgroup = [1]\n", "line 4: cgroup: it takes a list"},
		{head + "vtpm = 1\n", "line 4: vtpm: it takes true or false"},
		{head + "filter = 1\n", "line 4: filter: it takes text in quotation marks"},
		{head + "socket = \"/s\"\nsocket-mode = 660\n", `line 5: socket-mode: it takes text in quotation marks, like "0660"`},
		{head + "name = \"twice\"\n", "line 4: "},
		{head + "user = [1]\n", `line 4: there is no "namespace.user"; a [[namespace]] has name, uid,`},
		{head + "[namespaces]\n", `line 4: there is no "namespaces"; a [[namespace]] has`},
		{"default = 1\n", `line 1: there is no "default"`},
		{"[[namespace]]\nuid = [1]\n", `line 1: name: a namespace needs a name: name = "web"`},
		{"[[namespace]]\n\nname = \"a b\"\n", `line 3: name: "a b" is no name; take up to 64 letters`},
		{head + "uid = [1]\n[[namespace]]\nname = \"web\"\n", `line 6: name: namespace "web": there is one of that name in line 2`},
		{head + "uid = []\n", `line 4: uid: namespace "web": an empty list is for nobody`},
		{head + "uid = [1,\n \"nobody-at-all\"]\n", `line 4: uid: namespace "web": there is no user "nobody-at-all" on this machine; write a number, a name, or a range like "2000-2999"`},
		{head + "gid = [\"nobody-at-all\"]\n", `there is no group "nobody-at-all"`},
		{head + "uid = [-1]\n", "-1 is no number of a user"},
		{head + "uid = [4294967295]\n", "4294967295 is no number of a user; those go from 0 to 4294967294"},
		{head + "uid = [\"5-3\"]\n", "the range 5-3 ends before it begins"},
		{head + "uid = [\"5-99999999999\"]\n", "99999999999 is no number of a user"},
		{head + "uid = [1.5]\n", "1.5 is neither a number nor text"},
		{head + "cgroup = [\"system.slice\"]\n", `"system.slice" is no cgroup; write it as /proc/PID/cgroup shows it`},
		{head + "cgroup = [\"/a/../b\"]\n", `"/a/../b" is no cgroup`},
		{head + "cgroup = []\n", "an empty list is for nobody"},
		{head + "socket = \"web.sock\"\n", `"web.sock" is no whole path; write it like "/run/tpmkey/web.sock"`},
		{head + "socket = \"/" + strings.Repeat("a", 107) + "\"\n", "a path of 108 bytes; a socket's has 107 at most"},
		{head + "socket = \"/s\"\n[[namespace]]\nname = \"b\"\nsocket = \"/s\"\n", `line 7: socket: namespace "b": "web" in line 2 has this socket`},
		{head + "socket-mode = \"0660\"\n", "this namespace has none; add: socket ="},
		{head + "socket-owner = \"root\"\n", "this namespace has none"},
		{head + "socket = \"/s\"\nsocket-mode = \"rw\"\n", `line 5: socket-mode: namespace "web": "rw" is no mode; write it like "0660"`},
		{head + "socket = \"/s\"\nsocket-mode = \"4666\"\n", `"4666" is no mode`},
		{head + "socket = \"/s\"\nsocket-mode = \"066\"\n", `line 5: socket-mode: namespace "web": "066" keeps the socket's owner out, who must write to connect; write it like "0660"`},
		{head + "socket = \"/s\"\nsocket-group = \"nobody-at-all\"\n", `there is no group "nobody-at-all"`},
		{head + "filter = \"rsq\"\n", `line 4: filter: namespace "web": "rsq" is none of the profiles`},
		{head + "filter = \"/etc/tpmkey/other\"\n", `line 4: filter: namespace "web": no such file`},
		{head + "chip = -1\n", "-1 is not between 0 and 65535"},
		{head + "locality = 5\n", "5 is not between 0 and 4"},
		{head + "connections = 0\n", "0 is not between 1 and 4096"},
		{head + "sessions-per-user = 49\n", "49 is not between 1 and 48"},
		{head + "[[namespace]]\nname = \"late\"\nuid = [1]\n", `line 5: name: namespace "late": nobody gets here, since "web" in line 2 is for everybody`},
		{"namespace = [{name = \"a\", chip = -1}]\n", `line 1: chip: namespace "a": -1 is not`},
	} {
		if _, err := Parse(row.text, readProfile); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v, want %q", row.text, err, row.want)
		}
	}
}

// FuzzParse: whatever is in the file, it is read or a line is named.
func FuzzParse(f *testing.F) {
	for _, text := range []string{example, "", "namespace = [{name = \"a\"}]", "[[namespace]]\nname = \"a\"\nuid = [1, \"2-3\"]\n", "[[namespace]]\n[[namespace.uid]]\n", "a.b = 1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := Parse(text, readProfile)
		if err != nil && (!strings.HasPrefix(err.Error(), "line ") || strings.HasPrefix(err.Error(), "line 0")) {
			t.Errorf("%v", err)
		}
		if err == nil {
			set.Of(Caller{UID: 1000, GIDs: []uint32{1000}, Socket: "/x", Hidden: true})
		}
	})
}
