package main

import (
	"os"
	"strings"
	"testing"

	"tpmkey.example/namespace"
)

// written is the file that a page writes with tee.
func written(t *testing.T, page, file string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "tee "+file+" <<'END'\n")
	content, _, ended := strings.Cut(rest, "\nEND\n")
	if !found || !ended {
		t.Fatalf("%s does not write %s", page, file)
	}
	return content
}

const page = "../../docs/tpmkeyd.md"

// What the page says of namespaces is right.
func TestDocumentedNamespaces(t *testing.T) {
	set, err := namespace.Parse(written(t, page, "/etc/tpmkey/namespaces.toml"), readFilter)
	if err != nil {
		t.Fatal(err)
	}
	box, err := namespace.Parse(written(t, page, "-a /etc/tpmkey/namespaces.toml"), readFilter)
	if err != nil || len(box.VTPMs()) != 1 {
		t.Errorf("the container with a TPM of its own: %+v, %v", box, err)
	}
	for _, row := range []struct {
		who  namespace.Caller
		want string
	}{
		{namespace.Caller{UID: 2500, Cgroups: []string{"/system.slice/nginx.service"}}, "web"},
		{namespace.Caller{UID: 2500, GIDs: []uint32{500}}, "curves"},
		{namespace.Caller{UID: 7, Socket: "/run/tpmkey/container.sock"}, "container"},
	} {
		if n, _ := set.Of(row.who); n == nil || n.Name != row.want {
			t.Errorf("%+v: %+v, want %s", row.who, n, row.want)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, said := range []string{errNotForHim.Error(), "more than 256 connections", "there is no chip 1", "nothing but 0 reaches this chip"} {
		if !strings.Contains(string(text), said) {
			t.Errorf("the page does not tell what to do about %q", said)
		}
	}
}
