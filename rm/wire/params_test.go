package wire

import "testing"

// Whatever may be encrypted has a limit: without one no size would be right.
func TestEncryptedParametersHaveLimits(t *testing.T) {
	for _, s := range Shapes() {
		if s.MayDecrypt() && s.ParamsKnown() && s.params[0].most == 0 {
			t.Errorf("%s: no limit for %s", s.Name, s.params[0].name)
		}
	}
}
