package provider_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/provider"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// managed is a provider of nobody's on a manager with the default filter, on a raw chip.
func managed(t *testing.T, chip tpmtest.Sender, dir string) *provider.Provider {
	t.Helper()
	m := rm.New(rm.Config{Sharing: rm.Alone, Open: func() (rm.Chip, error) { return closer{chip}, nil }})
	p := provider.Open([]string{dir}, func() (transport.TPMCloser, error) { return m.Open(rm.Options{UID: 65534}) })
	t.Cleanup(func() { p.Close(); m.Close() })
	return p
}

// ownerPassword sets the password of the owner hierarchy, as an administrator does.
func ownerPassword(t *testing.T, chip transport.TPM, password string) {
	t.Helper()
	_, err := tpm2.HierarchyChangeAuth{AuthHandle: tpm2.TPMRHOwner, NewAuth: tpm2.TPM2BAuth{Buffer: []byte(password)}}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
}

// What an administrator may have made persistent before he set an owner password, and what becomes of keys then: nothing is needed but that.
func TestOwnerPassword(t *testing.T) {
	standard, rsaSRK, signing := tpmtest.SRKTemplate(), tpm2.RSASRKTemplate, tpmtest.RSATemplate()
	signing.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	for name, row := range map[string]struct {
		persistent *tpm2.TPMTPublic
		given      string // the owner password, if the provider is told
		parent     uint32 // of a new key; 0: none is made
		says       string
	}{
		"the standard parent":       {&standard, "", 0x40000001, ""},
		"an RSA parent":             {&rsaSRK, "", 0x81000001, ""},
		"nothing":                   {nil, "", 0, "has a password, and the parent key is not persistent at 0x81000001, where nobody would need it"},
		"no parent":                 {&signing, "", 0, "has a password, and the parent key"},
		"nothing, password given":   {nil, "owner's secret", 0x40000001, ""},
		"an RSA one, also given":    {&rsaSRK, "owner's secret", 0x40000001, ""},
		"nothing, another is given": {nil, "wrong", 0, "has a password, which is another than the one that was given, and the parent key"},
	} {
		t.Run(name, func(t *testing.T) {
			chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
			if row.persistent != nil {
				tpmtest.PersistPrimary(t, chip, *row.persistent)
			}
			ownerPassword(t, chip, "owner's secret")
			recorder := tpmtest.Record(chip)
			p := managed(t, recorder, t.TempDir())
			p.GiveOwnerPassword([]byte(row.given))
			k, err := p.Create("web", provider.Template{PIN: []byte("pin")})
			if row.parent == 0 {
				if !errors.Is(err, provider.ErrParentAuth) || errors.Is(err, provider.ErrWrongPIN) || !strings.Contains(err.Error(), row.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if k.Parent() != row.parent {
				t.Errorf("the parent is %#x", k.Parent())
			}
			if err := k.GivePIN([]byte("pin")); err != nil {
				t.Fatal(err)
			}
			verify(t, k)
			for _, e := range recorder.Log() {
				if bytes.Contains(e.Command, []byte("secret")) {
					t.Errorf("the password is in a command %#x", e.Code())
				}
			}
		})
	}
}

// Wrong owner passwords, which a manager refuses to pass on after three, do not keep keys from being made below what is persistent.
func TestWrongOwnerPassword(t *testing.T) {
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	tpmtest.PersistPrimary(t, chip, tpm2.RSASRKTemplate)
	ownerPassword(t, chip, "owner's secret")
	p := managed(t, chip, t.TempDir())
	p.GiveOwnerPassword([]byte("wrong"))
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		verify(t, create(t, p, name))
	}
}

// An rsaParentKey is the structure in a key file that has an rsaParent field.
type rsaParentKey struct {
	Type            asn1.ObjectIdentifier
	EmptyAuth       bool `asn1:"explicit,tag:0"`
	RSAParent       bool `asn1:"explicit,tag:5"`
	Parent          int64
	Public, Private []byte
}

func withRSAParent(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	var plain tssKey
	if _, err := asn1.Unmarshal(block.Bytes, &plain); err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(rsaParentKey{plain.Type, true, true, plain.Parent, plain.Public, plain.Private})
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der})
}

// Files of other tools name their parents in several ways. Under the default filter those of the owner and of the null hierarchy work, and persistent keys at
// 0x81000001; the others are refused in words.
func TestParents(t *testing.T) {
	rsaSRK := tpm2.RSASRKTemplate
	rsaSRK.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	chip := tpmtest.Dial(t, tpmtest.SWTPM(t))
	for name, row := range map[string]struct {
		hierarchy  tpm2.TPMHandle // of the parent
		template   tpm2.TPMTPublic
		persistent bool
		parent     uint32 // as the file names it
		rsaParent  bool
		want       error
		says       string
	}{
		"owner, ECC":            {tpm2.TPMRHOwner, tpmtest.SRKTemplate(), false, 0x40000001, false, nil, ""},
		"owner, RSA":            {tpm2.TPMRHOwner, rsaSRK, false, 0x40000001, true, nil, ""},
		"owner, RSA persistent": {tpm2.TPMRHOwner, rsaSRK, true, 0x40000001, true, nil, ""},
		"null":                  {tpm2.TPMRHNull, tpmtest.SRKTemplate(), false, 0x40000007, false, nil, ""},
		"persistent ECC":        {tpm2.TPMRHOwner, tpmtest.SRKTemplate(), true, 0x81000001, false, nil, ""},
		"persistent RSA":        {tpm2.TPMRHOwner, rsaSRK, true, 0x81000001, false, nil, ""},
		"endorsement":           {tpm2.TPMRHEndorsement, tpmtest.SRKTemplate(), false, 0x4000000B, false, provider.ErrFormat, "its parent 0x4000000b is the endorsement hierarchy, whose keys tell"},
		"platform":              {tpm2.TPMRHPlatform, tpmtest.SRKTemplate(), false, 0x4000000C, false, provider.ErrFormat, "its parent 0x4000000c is the platform hierarchy, which belongs"},
		"a transient object":    {tpm2.TPMRHOwner, tpmtest.SRKTemplate(), false, 0x80000000, false, provider.ErrFormat, "is neither a hierarchy nor a persistent key"},
	} {
		t.Run(name, func(t *testing.T) {
			text := fileBelow(t, chip, row.hierarchy, row.template, row.parent)
			if row.rsaParent {
				text = withRSAParent(t, text)
			}
			if row.persistent {
				tpmtest.PersistPrimary(t, chip, row.template)
				defer tpmtest.Evict(t, chip)
			}
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/web.pem", text, 0o600); err != nil {
				t.Fatal(err)
			}
			p := managed(t, chip, dir)
			defer flushAll(t, chip)
			defer p.Close()
			k, err := p.Key("web")
			if err != nil {
				t.Fatal(err)
			}
			_, err = k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256))
			if !errors.Is(err, row.want) || err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v", err)
			}
			if row.want != nil {
				return
			}
			verify(t, k)
			changed, err := p.ChangePIN(k, []byte("pin")) // which writes the file anew, with the same parent
			if err != nil {
				t.Fatal(err)
			}
			if err := changed.GivePIN([]byte("pin")); err != nil {
				t.Fatal(err)
			}
			verify(t, changed)
			if again, err := provider.Open([]string{dir}, nil).Key("web"); err != nil || again.Parent() != row.parent {
				t.Errorf("the file written anew: %v", err)
			}
		})
	}
}

// fileBelow is the file of a key below a primary key.
func fileBelow(t *testing.T, chip *tpmtest.Conn, hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic, parent uint32) []byte {
	t.Helper()
	primary, err := tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(template)}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	public := tpmtest.RSATemplate()
	public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	made, err := tpm2.Create{ParentHandle: tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name}, InPublic: tpm2.New2B(public)}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	flushAll(t, chip)
	return tpmtest.KeyFileOf(t, made.OutPublic.Bytes(), made.OutPrivate.Buffer, parent)
}
