package prompt

import (
	"slices"
	"testing"
)

// What there is to ask with is named in the order in which it is tried.
func TestWays(t *testing.T) {
	w := newWorld(t)
	if got := w.asker.ways(); len(got) > 0 {
		t.Errorf("nobody: %q", got)
	}
	w.env["DISPLAY"], w.env["SSH_ASKPASS"] = ":0", "/usr/bin/ssh-askpass"
	if got := w.asker.ways(); !slices.Equal(got, []string{"SSH_ASKPASS"}) {
		t.Errorf("a display: %q", got)
	}
	w.env["SSH_ASKPASS_REQUIRE"] = "force"
	if got := w.asker.ways(); len(got) != 2 || got[1] != "SSH_ASKPASS" {
		t.Errorf("by force: %q", got)
	}
}
