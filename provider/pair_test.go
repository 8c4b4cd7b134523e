package provider

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// A private part that belongs to another public one is wrapped correctly, and yet becomes no key.
func TestImportedPair(t *testing.T) {
	tpmtest.Emulators(t, func(t *testing.T, spec string) {
		p := Open([]string{t.TempDir()}, func() (transport.TPMCloser, error) { return device.OpenWithProfile(spec, "rsa+import") })
		defer p.Close()
		claimed, private := softwareKey(t), softwareKey(t)
		public := importTemplate(claimed, Template{})
		file := Template{}.file("web")
		file.public = tpm2.Marshal(public)
		_, err := p.bring("web", file, func(to *parent) (wrapped, error) { return wrap(to, public, private, nil) })
		var rc tpm2.TPMRC
		if !errors.As(err, &rc) || strings.Contains(err.Error(), "was made in") {
			t.Errorf("%v", err)
		}
		t.Log(err)
		if keys, err := p.Keys(); len(keys) > 0 || err != nil {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	})
}
