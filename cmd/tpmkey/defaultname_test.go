package main

import (
	"strings"
	"testing"

	"tpmkey.example/provider"
)

func TestNameOf(t *testing.T) {
	for _, row := range []struct{ person, host, want string }{
		{"alice", "laptop", "alice@laptop"},
		{"alice", "laptop.example.org", "alice@laptop"},
		{`FIRM\alice`, "laptop", "FIRM-alice@laptop"},
		{"-rf", ".hidden", "rf"},
		{"", "laptop", "key@laptop"},
		{"", "", "key"},
		{"a b'$(reboot)", "l/../x", "a-b---reboot@l"},
		{"../..", "..", "key"},
		{"élise\x1b[31m", "laptop", "lise--31m@laptop"},
		{strings.Repeat("x", 300), strings.Repeat("y", 300), strings.Repeat("x", 32) + "@" + strings.Repeat("y", 32)},
	} {
		if got := nameOf(row.person, row.host); got != row.want || provider.CheckName(got) != nil {
			t.Errorf("%q at %q: %q, not %q; %v", row.person, row.host, got, row.want, provider.CheckName(got))
		}
	}
	if name := defaultName(); provider.CheckName(name) != nil {
		t.Errorf("here it is %q", name)
	}
}
