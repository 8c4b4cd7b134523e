package main

import (
	"fmt"
	"slices"
	"strings"

	"tpmkey.example/namespace"
)

// whoIsIn says in words who gets into a namespace.
func whoIsIn(n *namespace.Namespace) string {
	var all []string
	if n.Socket != nil {
		all = append(all, "by "+n.Socket.Path)
	}
	for name, ids := range map[string][]namespace.IDRange{"uid": n.UIDs, "gid": n.GIDs} {
		if ids != nil {
			all = append(all, name+" "+strings.Join(rangesOf(ids), ", "))
		}
	}
	slices.Sort(all)
	if n.Cgroups != nil {
		all = append(all, "cgroup "+strings.Join(n.Cgroups, ", "))
	}
	if len(all) == 0 {
		return "everybody"
	}
	return strings.Join(all, "; ")
}

func rangesOf(ids []namespace.IDRange) []string {
	list := []string{}
	for _, r := range ids {
		if r.First == r.Last {
			list = append(list, fmt.Sprint(r.First))
		} else {
			list = append(list, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return list
}

// whatItGives says in words what is not as for everybody.
func whatItGives(n *namespace.Namespace) string {
	gives := []string{"filter " + filterOf(n)}
	if n.Source == "" {
		gives[0] = "everybody's filter"
	}
	if n.Chip != namespace.AnyChip {
		gives = append(gives, fmt.Sprintf("chip %d", n.Chip))
	}
	if n.Locality > 0 {
		gives = append(gives, fmt.Sprintf("locality %d", n.Locality))
	}
	for _, limit := range []struct {
		what string
		n    int
	}{
		{"connections of a user", n.Limits.Connections}, {"objects", n.Limits.Objects}, {"objects of a user", n.Limits.ObjectsPerUser},
		{"sessions", n.Limits.Sessions}, {"sessions of a user", n.Limits.SessionsPerUser},
	} {
		if limit.n > 0 {
			gives = append(gives, fmt.Sprintf("at most %d %s", limit.n, limit.what))
		}
	}
	return strings.Join(gives, ", ")
}

func filterOf(n *namespace.Namespace) string {
	if n.Filter == nil || n.Filter.Name() == n.Source {
		return n.Source
	}
	return fmt.Sprintf("%s (%s)", n.Filter.Name(), n.Source)
}
