package provider

import (
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func TestOrigin(t *testing.T) {
	for _, row := range []struct {
		fixedTPM, fixedParent, sensitiveDataOrigin bool
		want                                       Origin
	}{
		{true, true, true, OriginHardware},
		{false, false, true, OriginMigratable},
		{false, true, true, OriginMigratable}, // moves with its parent
		{true, false, true, OriginMigratable}, // no TPM makes such
		{false, false, false, OriginImported},
		{false, true, false, OriginImported},
		{true, true, false, OriginImported},
	} {
		a := tpm2.TPMAObject{FixedTPM: row.fixedTPM, FixedParent: row.fixedParent, SensitiveDataOrigin: row.sensitiveDataOrigin}
		if got := originOf(a); got != row.want || got.Hardware() != (row.want == OriginHardware) {
			t.Errorf("%+v: %s, hardware %v", row, got, got.Hardware())
		}
	}
}
