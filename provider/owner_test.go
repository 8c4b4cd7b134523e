package provider

import "testing"

// Whose key files a process uses. One with raised privileges is no way to other users' keys for whoever starts it.
func TestOwners(t *testing.T) {
	const home = "/var/lib/me/tpmkey"
	me, root := caller{real: 1000, effective: 1000}, caller{}
	setuid, setgid := caller{real: 1000, effective: 0, raised: true}, caller{real: 1000, effective: 1000, raised: true}
	for _, row := range []struct {
		caller caller
		owner  uint32
		dir    string
		want   bool
	}{
		{me, 1000, home, true},
		{me, 0, home, true},
		{me, 1001, home, false},
		{me, 0, SystemDir, true},
		{me, 1001, SystemDir, false},
		{root, 1000, home, true},
		{root, 0, SystemDir, true},
		{setuid, 1000, home, true},
		{setuid, 1001, home, false},
		{setuid, 0, home, false},
		{setuid, 0, SystemDir, true},
		{setgid, 1000, home, true},
		{setgid, 0, home, false},
		{setgid, 0, SystemDir, true},
		{setgid, 1001, SystemDir, false},
	} {
		if got := row.caller.mayUse(row.owner, row.dir); got != row.want {
			t.Errorf("%+v uses a file of user %d in %s: %v", row.caller, row.owner, row.dir, got)
		}
	}
}
