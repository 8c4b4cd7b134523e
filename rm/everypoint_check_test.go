//go:build check

package rm_test

import "testing"

// The same at every command.
func TestBreaksEverywhere(t *testing.T) { everyPoint(t, 1) }
