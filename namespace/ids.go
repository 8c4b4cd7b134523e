package namespace

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// A kind is what numbers stand for.
type kind struct {
	what   string
	lookup func(name string) (id string, err error)
}

var (
	users = kind{"user", func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	}}
	groups = kind{"group", func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}}
)

// errEmpty is of a list that would be for nobody, which nobody means.
var errEmpty = errors.New("an empty list is for nobody; leave it out for everybody")

// takeIDs reads a list of numbers, names and ranges.
func takeIDs(from *[]any, to *[]IDRange, k kind) error {
	if from == nil {
		return nil
	}
	if len(*from) == 0 {
		return errEmpty
	}
	for _, item := range *from {
		r, err := k.ids(item)
		if err != nil {
			return err
		}
		*to = append(*to, r)
	}
	return nil
}

func (k kind) ids(item any) (IDRange, error) {
	switch item := item.(type) {
	case int64:
		id, err := k.number(strconv.FormatInt(item, 10))
		return IDRange{id, id}, err
	case string:
		if first, last, ok := strings.Cut(item, "-"); ok && isNumber(first) && isNumber(last) {
			return k.idRange(first, last)
		}
		id, err := k.id(item)
		return IDRange{id, id}, err
	}
	return IDRange{}, fmt.Errorf("%v is neither a number nor text; write 1000, \"alice\" or \"2000-2999\"", item)
}

func (k kind) idRange(first, last string) (IDRange, error) {
	from, err1 := k.number(first)
	to, err2 := k.number(last)
	if err := errors.Join(err1, err2); err != nil {
		return IDRange{}, err
	}
	if from > to {
		return IDRange{}, fmt.Errorf("the range %s-%s ends before it begins", first, last)
	}
	return IDRange{from, to}, nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// number is an id. The last one stands for none (setresuid(2)).
func (k kind) number(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id == 1<<32-1 {
		return 0, fmt.Errorf("%s is no number of a %s; those go from 0 to 4294967294", s, k.what)
	}
	return uint32(id), nil
}

// ID is the uid of a user who is given by number or by name.
func ID(text string) (uint32, error) { return users.id(text) }

func (k kind) id(text string) (uint32, error) {
	if isNumber(text) {
		return k.number(text)
	}
	found, err := k.lookup(text)
	if err != nil {
		return 0, fmt.Errorf("there is no %s %q on this machine; write a number, a name, or a range like \"2000-2999\"", k.what, text)
	}
	return k.number(found)
}

// takeCgroups reads paths below the root of the cgroups.
func takeCgroups(from *[]string, to *[]string) error {
	if from == nil {
		return nil
	}
	if len(*from) == 0 {
		return errEmpty
	}
	for _, path := range *from {
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path+"/", "/../") {
			return fmt.Errorf("%q is no cgroup; write it as /proc/PID/cgroup shows it, like \"/system.slice/nginx.service\", with a / at the end for all below it", path)
		}
	}
	*to = *from
	return nil
}
