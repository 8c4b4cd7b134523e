package provider_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tpmkey.example/provider"
	"tpmkey.example/rm/tpmtest"
)

// A new key takes the place of no public key that lies where its own would: the directory may be ~/.ssh.
func TestNoPublicKeyIsReplaced(t *testing.T) {
	dir := t.TempDir()
	p := openIn(t, dir, tpmtest.Simulator(t))
	path := filepath.Join(dir, "id_rsa.pub")
	if err := os.WriteFile(path, []byte("ssh-rsa AAAA of a software key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Create("id_rsa", provider.Template{}); !errors.Is(err, provider.ErrExists) {
		t.Errorf("Create: %v", err)
	}
	if _, err := p.Import("id_rsa", rsaKey(t, 2048), provider.Template{}); !errors.Is(err, provider.ErrExists) {
		t.Errorf("Import: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "ssh-rsa AAAA of a software key\n" {
		t.Errorf("now there is %q, %v", text, err)
	}
	if keys, err := p.Keys(); len(keys) > 0 || err != nil {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	create(t, p, "id_rsa")
}
