package provider

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-tpm/tpm2"
)

// A StorageKey is the public part of a key that keys are moved to: the parent of new keys in some TPM. Nothing in it proves that a TPM holds its private part, so
// whoever moves a key compares the Name with what the other TPM says.
type StorageKey struct {
	public tpm2.TPMTPublic
	name   tpm2.TPM2BName
}

// ErrStorageKey says that a file is not the public part of a key that keys can be moved to.
var ErrStorageKey = errors.New("not the public part of a TPM's parent key")

const storageKeyType = "TPM2B_PUBLIC"

// NewParent gives the parent that new keys are made under in this TPM.
func (p *Provider) NewParent() (*StorageKey, error) {
	var key *StorageKey
	err := p.withTPM(func(c *connection) error {
		found, err := c.parentOfNew(&keyFile{parent: ownerParent})
		if err != nil {
			return err
		}
		return c.withParent(found, func(p *parent) error {
			key = &StorageKey{p.public, p.handle.Name}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("find the parent of new keys: %w", err)
	}
	return key, nil
}

// ParseStorageKey reads what Format writes, or the bare TPM2B_PUBLIC that tpm2_readpublic and tpm2_createprimary write.
func ParseStorageKey(text []byte) (*StorageKey, error) {
	said := ""
	if block, _ := pem.Decode(text); block != nil {
		said = nameBefore(text)
		if block.Type != storageKeyType {
			return nil, fmt.Errorf("%w: it has a %s in it; tpmkey migrate parent writes the right one", ErrStorageKey, block.Type)
		}
		text = block.Bytes
	}
	area, ok := unsized(text)
	if !ok {
		return nil, fmt.Errorf("%w: it is damaged, or something else; tpmkey migrate parent writes the right one", ErrStorageKey)
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](area)
	if err != nil || !bytes.Equal(tpm2.Marshal(public), area) {
		return nil, fmt.Errorf("%w: it is damaged", ErrStorageKey)
	}
	key, err := newStorageKey(*public)
	if err == nil && said != "" && said != hex.EncodeToString(key.name.Buffer) {
		return nil, fmt.Errorf("%w: the Name that is written before it is another key's", ErrStorageKey)
	}
	return key, err
}

// nameBefore is the Name that Format writes for people, "" where there is none: they may have compared that one.
func nameBefore(text []byte) string {
	for line := range strings.Lines(string(text[:max(0, bytes.Index(text, []byte("-----BEGIN "+storageKeyType)))])) {
		if name, ours := strings.CutPrefix(strings.TrimSpace(line), parentLine); ours {
			return strings.ToLower(name)
		}
	}
	return ""
}

func newStorageKey(public tpm2.TPMTPublic) (*StorageKey, error) {
	if !isStorage(public) {
		return nil, fmt.Errorf("%w: it is a key for another purpose, or one that can leave its TPM", ErrStorageKey)
	}
	_, err := tpm2.ImportEncapsulationKey(&public) // whether a secret can be encrypted to it
	name, nameErr := tpm2.ObjectName(&public)
	if err := errors.Join(err, nameErr); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorageKey, err)
	}
	return &StorageKey{public, *name}, nil
}

// Name identifies the key and all that its public part says (Part 1, 16).
func (s *StorageKey) Name() []byte { return bytes.Clone(s.name.Buffer) }

// Format writes the public part as a PEM block, with the Name before it, for people to compare.
func (s *StorageKey) Format() []byte {
	block := pem.EncodeToMemory(&pem.Block{Type: storageKeyType, Bytes: sized(tpm2.Marshal(s.public))})
	return append(fmt.Appendf(nil, "%s%x\n", parentLine, s.name.Buffer), block...)
}
