package device

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/tpmtest"
)

// loadExternal is what the default filter denies, and the profile migrate lets root do.
func loadExternal(d *Device) error {
	template := tpm2.RSASRKTemplate
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: append([]byte{0x80}, make([]byte, 254)...)})
	_, err := tpm2.LoadExternal{InPublic: tpm2.New2B(template), Hierarchy: tpm2.TPMRHOwner}.Execute(d)
	return err
}

func isDenied(err error) bool {
	var rc tpm2.TPMRC
	return errors.As(err, &rc) && rc == 0x000B0143
}

func TestOpenWithProfile(t *testing.T) {
	spec := tpmtest.Simulator(t)
	for _, row := range []struct {
		profile string
		denied  bool
	}{{"migrate", false}, {"rsa", true}, {"rsa+import", true}} {
		d, err := OpenWithProfile(spec, row.profile)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := loadExternal(d); isDenied(err) != row.denied {
			t.Errorf("%s: %v", row.profile, err)
		}
	}
	if _, err := OpenWithProfile(spec, "none"); err == nil || !strings.Contains(err.Error(), "none of the profiles") {
		t.Errorf("a profile that is none: %v", err)
	}
}

// A device that somebody else manages keeps its own filter.
func TestProfileOfManagedDevice(t *testing.T) {
	narrow, err := Open(tpmtest.Simulator(t))
	if err != nil {
		t.Fatal(err)
	}
	defer narrow.Close()
	managed := "broker:" + strings.TrimPrefix(tpmtest.Serve(t, narrow), "unix:")
	t.Setenv("TPMKEY_DEVICE", managed) // the search must come to the same
	for _, spec := range []string{managed, ""} {
		d, err := OpenWithProfile(spec, "migrate")
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := loadExternal(d); !isDenied(err) {
			t.Errorf("%q: %v, want a denial", spec, err)
		}
	}
}

// What a profile leaves to root is left to whoever opens the chip himself, and nothing else changes.
func TestForOpener(t *testing.T) {
	for _, name := range filter.Names() {
		f, err := filter.Named(name)
		if err != nil {
			t.Fatal(err)
		}
		same, err := forOpener(f, 0)
		if err != nil || same != f {
			t.Errorf("%s for root: %v", name, err)
		}
		own, err := forOpener(f, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if text := own.String(); strings.Contains(text, "caller is root") || strings.ReplaceAll(text, "caller is uid 1000", "caller is root") != f.String() {
			t.Errorf("%s for its opener:\n%s", name, text)
		}
	}
}
