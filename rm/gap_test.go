//go:build check

package rm

import (
	"testing"

	"tpmkey.example/rm/tpmtest"
)

// The same on a swtpm, where 65,531 saves kill an idle session.
func TestContextGapOnAChip(t *testing.T) {
	raw := tpmtest.Dial(t, tpmtest.SWTPM(t))
	idleSurvives(t, Config{Sharing: Alone, Open: func() (Chip, error) { return raw, nil }}, 200_000)
}
