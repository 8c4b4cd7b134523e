package main

import "testing"

// Everything that may be asked of a grant, by everybody.
func TestChanges(t *testing.T) {
	root := holder{node: true, openerIsRoot: true, callerIsRoot: true}
	for _, row := range []struct {
		name   string
		what   change
		by     holder
		sealed bool
		want   error
	}{
		{"anybody narrows", narrow, holder{}, false, nil},
		{"anybody seals", seal, holder{}, false, nil},
		{"root widens on the node", widen, root, false, nil},
		{"root widens a socket", widen, holder{openerIsRoot: true, callerIsRoot: true}, false, errFixed},
		{"anybody widens on the node", widen, holder{node: true}, false, errNotRoot},
		{"anybody widens what root has opened", widen, holder{node: true, openerIsRoot: true}, false, errNotRoot},
		{"root widens what anybody has opened", widen, holder{node: true, callerIsRoot: true}, false, errNotRoot},
		{"root narrows what is sealed", narrow, root, true, errSealed},
		{"root widens what is sealed", widen, root, true, errSealed},
		{"root seals again", seal, root, true, errSealed},
		{"root does what nobody knows", widen + 1, root, false, errNotRoot},
	} {
		if err := (grant{sealed: row.sealed}).permits(row.what, row.by); err != row.want {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}
