package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"tpmkey.example/filter"
	"tpmkey.example/internal/control"
	"tpmkey.example/internal/shell"
	"tpmkey.example/namespace"
	"tpmkey.example/rm/device"
)

const namespaceDetails = `

  list               the namespaces, in the order in which they are tried
  show NAME          who is in a namespace, and what it gives
  test USER          which namespace a user gets, who is named or numbered

  -file FILE         in place of /etc/tpmkey/namespaces.toml
  -cgroup PATH       test: in which cgroup, as /proc/PID/cgroup has it
  -socket PATH       test: by which socket (default: the one for everybody)
  -control PATH      where root asks tpmkeyd whether there are the chips and
                     localities (default /run/tpmkey/control.sock)
  -json              list: an array of namespaces; show: one; test: an object:
                     uid, refused, namespace (null: what everybody gets).
                     A namespace: name, line, uid, gid, cgroup, socket (null, or
                     path, mode), filter, chip (null: the first), locality,
                     connections, objects, objectsPerUser, sessions,
                     sessionsPerUser (0: what everybody gets)

tpmkeyd itself reads the file when it starts and at the signal HUP.
`

type namespaceOptions struct{ file, cgroup, socket, control string }

func namespaceFlags(f *flag.FlagSet, t *tool) {
	jsonFlags(f, t)
	f.StringVar(&t.namespace.file, "file", namespace.Path, "")
	f.StringVar(&t.namespace.cgroup, "cgroup", "", "")
	f.StringVar(&t.namespace.socket, "socket", "", "")
	f.StringVar(&t.namespace.control, "control", control.Path, "")
}

// namespaceVerbs are what tpmkey namespace does, and how many operands each takes.
var namespaceVerbs = map[string]struct {
	operand string
	run     func(*tool, *namespace.Set, string) error
}{

	"list": {"", (*tool).listNamespaces},
	"show": {"NAME", (*tool).showNamespace},
	"test": {"USER", (*tool).testNamespace},
}

func runNamespace(t *tool, args []string) error {
	if len(args) == 0 {
		return usageError("it takes list, show or test; run: tpmkey help namespace")
	}
	v, ok := namespaceVerbs[args[0]]
	operands := args[1:]
	switch {
	case !ok:
		return usageError(fmt.Sprintf("namespace does list, show and test, not %q; run: tpmkey help namespace", args[0]))
	case len(operands) != min(len(v.operand), 1):
		return usageError(strings.TrimSpace("it is used as: tpmkey namespace " + args[0] + " " + v.operand))
	case args[0] != "test" && t.namespace.cgroup+t.namespace.socket != "":
		return usageError(fmt.Sprintf("namespace %s takes neither -cgroup nor -socket; run: tpmkey help namespace", args[0]))
	}
	set, err := t.readNamespaces()
	if err != nil {
		return err
	}
	return v.run(t, set, strings.Join(operands, ""))
}

// readNamespaces reads the file as tpmkeyd does. Where there is none everybody gets the same.
func (t *tool) readNamespaces() (*namespace.Set, error) {
	path := t.namespace.file
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && path == namespace.Path {
		return &namespace.Set{}, nil
	}
	text, err := t.readText(path, namespace.MaxSize)
	if err != nil {
		return nil, err
	}
	if path == namespace.Path {
		t.hintUntrusted(path)
	}
	set, err := namespace.Parse(text, t.readGranted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fileName(path), err)
	}
	return set, nil
}

// readGranted reads a profile that a namespace names. One that may not be read is known by its path only.
func (t *tool) readGranted(path string) (*filter.Filter, error) {
	f, err := t.readProfile(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	t.hintUntrusted(path)
	return f, err
}

// hintUntrusted says of a file that tpmkeyd, which is root's, takes no orders from.
func (t *tool) hintUntrusted(path string) {
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil && (st.Uid != 0 || st.Mode&0o022 != 0) {
		file := shell.Word(path)
		t.say("hint: tpmkeyd does not read %s, since others may write it; run: chown root %s && chmod 644 %s", path, file, file)
	}
}

// hintUnreachable says of a namespace when tpmkeyd has not the chip or the locality that it gives. Where tpmkeyd cannot be asked that is not known.
func (t *tool) hintUnreachable(n *namespace.Namespace) {
	if n.Chip == namespace.AnyChip && n.Locality == 0 {
		return
	}
	q := control.Request{Locality: n.Locality}
	if n.Chip != namespace.AnyChip {
		q.Chip = &n.Chip
	}
	file, _, err := control.Ask(t.namespace.control, q)
	var unasked *net.OpError
	switch {
	case err == nil:
		file.Close()
	case errors.Is(err, fs.ErrPermission):
		t.say("hint: whether tpmkeyd has the chip and the locality of namespace %s only root is told; put sudo before it", n.Name)
	case !errors.As(err, &unasked):
		t.say("hint: the callers of namespace %s are refused: %v", n.Name, err)
	}
}

func (t *tool) listNamespaces(set *namespace.Set, _ string) error {
	for i := range set.Namespaces {
		t.hintUnreachable(&set.Namespaces[i])
	}
	if t.json {
		all := []namespaceFields{}
		for i := range set.Namespaces {
			all = append(all, fieldsOfNamespace(&set.Namespaces[i]))
		}
		return t.printJSON(all)
	}
	if len(set.Namespaces) == 0 {
		t.say("no namespaces: everybody gets what tpmkeyd's own -filter lets through")
		return nil
	}
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	for i := range set.Namespaces {
		n := &set.Namespaces[i]
		fmt.Fprintf(w, "%s\t%s\t%s\n", n.Name, whoIsIn(n), whatItGives(n))
	}
	return w.Flush()
}

func (t *tool) showNamespace(set *namespace.Set, name string) error {
	n := set.Named(name)
	if n == nil {
		return fmt.Errorf("there is no namespace %q; run: tpmkey namespace list", name)
	}
	t.hintUnreachable(n)
	return t.printNamespace(n)
}

func (t *tool) printNamespace(n *namespace.Namespace) error {
	if t.json {
		return t.printJSON(fieldsOfNamespace(n))
	}
	w := tabwriter.NewWriter(t.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "name:\t%s\nline:\t%d\nwho:\t%s\ngets:\t%s\n", n.Name, n.Line, whoIsIn(n), whatItGives(n))
	return w.Flush()
}

// testNamespace says what a user would get who connects now.
func (t *tool) testNamespace(set *namespace.Set, who string) error {
	c, err := t.callerNamed(who)
	if err != nil {
		return err
	}
	n, refused := set.Of(c)
	if set.AsksForCgroups() && c.Cgroups == nil {
		t.say("hint: some namespaces ask for a cgroup and were passed over; name one: -cgroup /user.slice/")
	}
	if s := t.namespace.socket; s != "" && "broker:"+s != device.DefaultBroker && !slices.ContainsFunc(set.Namespaces, func(n namespace.Namespace) bool { return n.Socket != nil && n.Socket.Path == s }) {
		t.say("hint: no namespace has the socket %s: this holds only if it is the one for everybody (tpmkeyd -listen)", s)
	}
	if n != nil {
		t.hintUnreachable(n)
	}
	switch {
	case t.json:
		return t.printJSON(testFieldsOf(c.UID, n, refused))
	case refused:
		_, err = fmt.Fprintln(t.stdout, "refused: the socket belongs to a namespace that this user is not in")
	case n == nil:
		_, err = fmt.Fprintln(t.stdout, "no namespace: what everybody gets, by tpmkeyd's own -filter")
	default:
		err = t.printNamespace(n)
	}
	return err
}

// callerNamed is a user as the kernel would name him to tpmkeyd.
func (t *tool) callerNamed(who string) (c namespace.Caller, err error) {
	if c.UID, err = namespace.ID(who); err != nil {
		return c, err
	}
	c.Socket = t.namespace.socket
	if t.namespace.cgroup != "" {
		c.Cgroups = []string{t.namespace.cgroup}
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(c.UID), 10))
	if err != nil {
		return c, nil // a uid without a name has no groups either
	}
	groups, err := u.GroupIds()
	for _, text := range groups {
		if gid, err := strconv.ParseUint(text, 10, 32); err == nil {
			c.GIDs = append(c.GIDs, uint32(gid))
		}
	}
	return c, err
}
