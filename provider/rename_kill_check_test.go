//go:build check

package provider

import "testing"

// Whoever is killed while it renames, at whatever system call, leaves the key and its certificate under one of the two names, and renaming it again finishes.
func TestKilledWhileRenaming(t *testing.T) {
	seen := map[[2]bool]int{}
	n := 1
	for ; ; n++ {
		dir := renameable(t)
		killed := killedAt(t, "traced rename", dir, n)
		old, new := hasAll(t, dir, "web"), hasAll(t, dir, "mail")
		seen[[2]bool{old, new}]++
		if !old && !new {
			t.Fatalf("killed at step %d: there are %v", n, names(t, dir))
		}
		if _, err := Open([]string{dir}, nil).Key("web"); err == nil {
			check(t, do(renameKey, dir))
		}
		unlock, err := lockDir(dir) // as the next process that writes does, which tidies up
		check(t, err)
		unlock()
		isRenamed(t, dir)
		if !killed {
			break
		}
	}
	if n < 20 || seen[[2]bool{true, false}] < 2 || seen[[2]bool{false, true}] < 2 {
		t.Errorf("killed at %d steps: %v", n, seen)
	}
	t.Logf("killed at %d steps: %v", n, seen)
}
