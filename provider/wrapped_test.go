package provider_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/provider"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
)

// publicOf reads what Format writes, as the other side's tools would.
func publicOf(t *testing.T, parent *provider.StorageKey) *tpm2.TPMTPublic {
	t.Helper()
	block, _ := pem.Decode(parent.Format())
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := public.Contents()
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

// What ssh-tpm-keygen's library wraps for a parent comes in, as a key that was made outside.
func TestAdoptFromKeyfiles(t *testing.T) {
	p := under(t, "migrate", tpmtest.Simulator(t))
	private := rsaKey(t, 2048)
	wrapped, err := keyfile.NewImportablekey(publicOf(t, newParent(t, p)), *private, keyfile.WithDescription("theirs"), keyfile.WithParent(tpm2.TPMRHOwner))
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Adopt("theirs", wrapped.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if k.Origin() != provider.OriginImported || !k.Public().Equal(&private.PublicKey) {
		t.Errorf("origin %s", k.Origin())
	}
}

// What Export wraps is imported by that library.
func TestExportToKeyfiles(t *testing.T) {
	there := tpmtest.Simulator(t)
	p, to := under(t, "migrate", tpmtest.Simulator(t)), under(t, "migrate", there)
	text := export(t, migratable(t, p, ""), newParent(t, to))
	to.Close()
	wrapped, err := keyfile.Decode(text[bytes.Index(text, []byte("-----BEGIN")):])
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.OpenWithProfile(there, "migrate")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	key, err := keyfile.ImportTPMKey(d, wrapped, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !key.Keytype.Equal(keyfile.OIDLoadableKey) || len(key.Privkey.Buffer) == 0 {
		t.Errorf("type %v, %d bytes", key.Keytype, len(key.Privkey.Buffer))
	}
}

// The bare structure that tpm2_readpublic writes does as well.
func TestBareStorageKey(t *testing.T) {
	parent := newParent(t, under(t, "rsa", tpmtest.Simulator(t)))
	block, _ := pem.Decode(parent.Format())
	bare, err := provider.ParseStorageKey(block.Bytes)
	if err != nil || !bytes.Equal(bare.Name(), parent.Name()) {
		t.Errorf("%v", err)
	}
}

// Whoever puts his own key below the Name that people compare is found out.
func TestStorageKeyBelowAnotherName(t *testing.T) {
	one, other := newParent(t, under(t, "rsa", tpmtest.Simulator(t))), newParent(t, under(t, "rsa", tpmtest.Simulator(t)))
	forged := fmt.Appendf(nil, "tpmkey-parent: %x\n%s", one.Name(), withoutLines(other.Format()))
	if _, err := provider.ParseStorageKey(forged); !errors.Is(err, provider.ErrStorageKey) || !strings.Contains(err.Error(), "Name") {
		t.Errorf("%v", err)
	}
	if _, err := provider.ParseStorageKey(withoutLines(other.Format())); err != nil {
		t.Errorf("without a Name before it: %v", err)
	}
}
