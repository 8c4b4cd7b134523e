package attest

import (
	"bytes"
	"encoding/pem"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// Types of PEM blocks. Evidence of another form would have another number.
const (
	evidenceType = "TPMKEY EVIDENCE 1"
	anchorType   = "TPM PUBLIC AREA"
)

// MaxSize is the longest evidence in bytes. That of a key of 4096 bits, signed by another, has less than 4000.
const MaxSize = 16 << 10

// Parts are the structures that evidence is made of, as the TPM gave them.
type Parts struct {
	Public    []byte // TPMT_PUBLIC of the key (Part 2, 12.2.4)
	Creation  []byte // TPMS_CREATION_DATA (Part 2, 15.1); empty with TPM2_Certify
	Attest    []byte // TPMS_ATTEST (Part 2, 10.12.12)
	Signature []byte // TPMT_SIGNATURE (Part 2, 11.3.4) over Attest
}

func (p *Parts) fields() []*[]byte {
	return []*[]byte{&p.Public, &p.Creation, &p.Attest, &p.Signature}
}

// Format writes evidence: one PEM block, in which each part is preceded by its size in two bytes.
func (p Parts) Format() ([]byte, error) {
	var b cryptobyte.Builder
	for _, field := range p.fields() {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(*field) })
	}
	contents, err := b.Bytes()
	if err != nil {
		return nil, reject(ErrFormat, "a part is too long: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: evidenceType, Bytes: contents}), nil
}

// parseParts takes exactly what Format writes.
func parseParts(text []byte) (*Parts, error) {
	if len(text) > MaxSize {
		return nil, reject(ErrFormat, "%d bytes, more than %d", len(text), MaxSize)
	}
	block, err := onlyBlock(text, evidenceType)
	if err != nil {
		return nil, err
	}
	p, contents := &Parts{}, cryptobyte.String(block)
	for _, field := range p.fields() {
		if !contents.ReadUint16LengthPrefixed((*cryptobyte.String)(field)) {
			return nil, reject(ErrFormat, "it is cut short")
		}
	}
	if !contents.Empty() {
		return nil, reject(ErrFormat, "%d bytes follow it", len(contents))
	}
	return p, nil
}

// onlyBlock gives what is in a PEM block that is written as Go writes it and has nothing before or after it.
func onlyBlock(text []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, reject(ErrFormat, "there is no whole PEM block %s", kind)
	case block.Type != kind:
		return nil, reject(ErrFormat, "it is a %q, not a %s", block.Type, kind)
	case len(rest) > 0 || !bytes.Equal(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block.Bytes}), text):
		return nil, reject(ErrFormat, "there is more than the PEM block, or it is not written as it should be")
	}
	return block.Bytes, nil
}

// unmarshal reads a structure that fills b exactly.
func unmarshal[T tpm2.Marshallable, P interface {
	*T
	tpm2.Unmarshallable
}](b []byte, what string) (*T, error) {
	value, err := tpm2.Unmarshal[T, P](b)
	if err != nil {
		return nil, reject(ErrFormat, "the %s is damaged: %v", what, err)
	}
	if !bytes.Equal(tpm2.Marshal(*value), b) {
		return nil, reject(ErrFormat, "the %s is not written as a TPM writes it, or bytes follow it", what)
	}
	return value, nil
}
