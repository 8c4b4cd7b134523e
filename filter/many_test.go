package filter

import (
	"strings"
	"testing"
)

// A text has so many profiles, and no more.
func TestMostProfiles(t *testing.T) {
	for n, want := range map[int]bool{mostProfiles: true, mostProfiles + 1: false} {
		text := strings.TrimSuffix(strings.Repeat("profile none: nothing\n\n", n), "\n")
		if _, err := Parse(text); (err == nil) != want {
			t.Errorf("%d profiles: %v", n, err)
		}
	}
}
