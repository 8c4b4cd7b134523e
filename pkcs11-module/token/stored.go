package token

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tpmkey.example/provider"
)

// Objects of the token that belong to no key, such as data and certificates of others, have a file each in a directory beside the keys: what is in a response
// to C_GetAttributeValue, as rows of attribute and value.

const (
	storedDir    = "objects"
	storedSuffix = ".object"
	storedHead   = "tpmkey PKCS #11 object\n"
)

func (t *token) storedDir() string { return filepath.Join(t.keys.Dirs()[0], storedDir) }

// storedUnchanged tells whether the files are those that were read: all of them are written anew, never where they are.
func (t *token) storedUnchanged() bool {
	t.scanning.Lock()
	defer t.scanning.Unlock()
	now, err := os.Stat(t.storedDir())
	if err != nil || t.storedStamp == nil {
		return err != nil && t.storedStamp == nil
	}
	return t.storedSettled && os.SameFile(now, t.storedStamp) && now.ModTime().Equal(t.storedStamp.ModTime())
}

// readStored reads all files. Those that are damaged are left out. The caller holds scanning.
func (t *token) readStored() (err error) {
	t.stored = nil
	t.storedStamp, err = os.Stat(t.storedDir())
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // nor are there keys then, which says why
		t.storedStamp = nil
		return nil
	}
	t.storedSettled = err == nil && time.Since(t.storedStamp.ModTime()) > time.Second // the clock of files has gone on, so that a later change shows
	entries, err := os.ReadDir(t.storedDir())
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), storedSuffix) {
			o, wrong := readObject(t, filepath.Join(t.storedDir(), entry.Name()))
			if wrong != nil {
				err = errors.Join(err, wrong)
				continue
			}
			t.stored = append(t.stored, o)
		}
	}
	return err
}

func readObject(t *token, path string) (*object, error) {
	text, err := provider.ReadBeside(t.keys.Dirs()[0], path, 2*mostValue)
	if err != nil {
		return nil, fmt.Errorf("object file %s: %w", path, err)
	}
	body, ok := bytes.CutPrefix(text, []byte(storedHead))
	own := readNotes(body)
	if !ok || len(own) != 1 {
		return nil, fmt.Errorf("object file %s: it is damaged", path)
	}
	o := &object{token: t, path: path}
	for o.class, o.own = range own {
	}
	if rv := o.complete(); rv != CKR_OK {
		return nil, fmt.Errorf("object file %s: %w", path, rv)
	}
	return o, nil
}

// complete makes of an object's own values what is needed of them.
func (o *object) complete() CKR {
	switch o.class {
	case CKO_CERTIFICATE:
		if c, err := x509.ParseCertificate(o.own[CKA_VALUE]); err == nil {
			o.certificate = c
		}
	case CKO_PUBLIC_KEY:
		var rv CKR
		o.public, rv = publicKey(o.own[CKA_MODULUS], o.own[CKA_PUBLIC_EXPONENT])
		return rv
	case CKO_DATA:
	default:
		return CKR_ATTRIBUTE_VALUE_INVALID
	}
	return CKR_OK
}

// publicKey is one that is used in software.
func publicKey(modulus, exponent []byte) (*rsa.PublicKey, CKR) {
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if !e.IsInt64() || e.Int64() > math.MaxInt32 || e.Int64() < 3 || e.Bit(0) == 0 || n.Bit(0) == 0 {
		return nil, CKR_ATTRIBUTE_VALUE_INVALID
	}
	if n.BitLen() < minBits || n.BitLen() > maxBits {
		return nil, CKR_KEY_SIZE_RANGE
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, CKR_OK
}

// writeStored writes an object's file. One that says nothing of itself has an empty label, so that the file says its class.
func writeStored(o *object) error {
	own := o.own
	if len(own) == 0 {
		own = map[attributeType][]byte{CKA_LABEL: nil}
	}
	return writeWhole(o.path, append([]byte(storedHead), notes{o.class: own}.format()...))
}

// writeWhole writes a file whole or not at all.
func writeWhole(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func removeStored(o *object) error { return os.Remove(o.path) }

// newPath is where a new object's file will be.
func (t *token) newPath() string {
	name := make([]byte, 8)
	rand.Read(name)
	return filepath.Join(t.storedDir(), hex.EncodeToString(name)+storedSuffix)
}
