package main

import (
	"fmt"

	"tpmkey.example/namespace"
)

// namespaceFields is a namespace.
type namespaceFields struct {
	Name            string        `json:"name"`
	Line            int           `json:"line"`
	UID             []string      `json:"uid"`
	GID             []string      `json:"gid"`
	Cgroup          []string      `json:"cgroup"`
	Socket          *socketFields `json:"socket"`
	Filter          string        `json:"filter"`
	Chip            *int          `json:"chip"`
	Locality        uint8         `json:"locality"`
	Connections     int           `json:"connections"`
	Objects         int           `json:"objects"`
	ObjectsPerUser  int           `json:"objectsPerUser"`
	Sessions        int           `json:"sessions"`
	SessionsPerUser int           `json:"sessionsPerUser"`
}

type socketFields struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
}

type testFields struct {
	UID       uint32           `json:"uid"`
	Refused   bool             `json:"refused"`
	Namespace *namespaceFields `json:"namespace"`
}

func fieldsOfNamespace(n *namespace.Namespace) namespaceFields {
	l := n.Limits
	fields := namespaceFields{Name: n.Name, Line: n.Line, UID: rangesOf(n.UIDs), GID: rangesOf(n.GIDs), Cgroup: append([]string{}, n.Cgroups...), Filter: n.Source,
		Locality: n.Locality, Connections: l.Connections, Objects: l.Objects, ObjectsPerUser: l.ObjectsPerUser, Sessions: l.Sessions, SessionsPerUser: l.SessionsPerUser}
	if n.Socket != nil {
		fields.Socket = &socketFields{n.Socket.Path, fmt.Sprintf("%04o", n.Socket.Mode)}
	}
	if n.Chip != namespace.AnyChip {
		fields.Chip = &n.Chip
	}
	return fields
}

func testFieldsOf(uid uint32, n *namespace.Namespace, refused bool) testFields {
	fields := testFields{UID: uid, Refused: refused}
	if n != nil {
		found := fieldsOfNamespace(n)
		fields.Namespace = &found
	}
	return fields
}
