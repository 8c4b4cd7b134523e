package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// sandboxes has a row for each limit that a host may live under, and when calls must work all the same: before, where the limit was there before
// C_Initialize; after, where it came later; child, where it came in a forked child. At other times they may fail, but not the host.
var sandboxes = []struct {
	limit  string
	works  string
	asRoot bool // only root can do this to itself
}{
	{"nothing", "before after crowd child", false},
	{"threads", "after crowd", false}, // the helper needs them too
	{"processes", "after", false},
	{"exec", "before after", false},
	{"threads+exec", "after", false},
	{"sockets", "after", false}, // the connection is there
	{"files", "", false},        // the store is read anew
	{"nproc", "", true},         // a user who has no keys
	{"nofile0", "", false},
	{"nofile", "before after child", false},
	{"memory", "", false},
	{"chroot", "", true}, // no keys inside
	{"closefrom", "before after child", false},
}

// Hosts in sandboxes: a call works or returns an error.
func TestSandboxes(t *testing.T) {
	s := newShared(t)
	for _, row := range sandboxes {
		for _, when := range []string{"before", "after", "crowd", "child"} {
			if row.asRoot && os.Getuid() != 0 {
				continue
			}
			t.Run(row.limit+" "+when, func(t *testing.T) { s.inSandbox(t, row.limit, when, strings.Contains(row.works, when)) })
		}
	}
}

func (s *setting) inSandbox(t *testing.T, limit, when string, works bool) {
	c := exec.Command(hostInC(t, "sandbox"), module(t), limit, when)
	c.Env = s.environment()
	output, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	limited := strings.LastIndex(string(output), "limited\n")
	if limited < 0 || works && !strings.Contains(string(output[limited:]), "signed") {
		t.Errorf("did not sign:\n%s", output)
	}
	noHelpers(t)
}
