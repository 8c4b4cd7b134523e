package provider

import (
	"bytes"
	"encoding/base64"
	"errors"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// A creation is what the TPM says of a key's making, once and never again (TPM2_Create, Part 3, 12.1): with it the TPM later attests that it has made the key. It
// stands in the key's file, so that it goes wherever the file goes; a second file would be lost first. It is no secret, and of use in this TPM only.
type creation struct {
	data   []byte              // TPMS_CREATION_DATA (Part 2, 15.1)
	ticket tpm2.TPMTTKCreation // (Part 2, 10.7.3)
}

// String is how a key file says it.
func (c *creation) String() string {
	return base64.StdEncoding.EncodeToString(append(sized(c.data), tpm2.Marshal(c.ticket)...))
}

var errCreation = errors.New("no creation data and ticket")

func parseCreation(text string) (*creation, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, err
	}
	var data cryptobyte.String
	rest := cryptobyte.String(b)
	if !rest.ReadUint16LengthPrefixed(&data) {
		return nil, errCreation
	}
	ticket, err := tpm2.Unmarshal[tpm2.TPMTTKCreation](rest)
	if err != nil || !bytes.Equal(tpm2.Marshal(ticket), rest) {
		return nil, errCreation
	}
	return &creation{data, *ticket}, nil
}

// hash is what the ticket is for besides the Name: the digest of the data with the nameAlg of the key.
func (c *creation) hash(alg tpm2.TPMAlgID) (tpm2.TPM2BDigest, error) {
	hash, err := alg.Hash()
	if err != nil {
		return tpm2.TPM2BDigest{}, err
	}
	h := hash.New()
	h.Write(c.data)
	return tpm2.TPM2BDigest{Buffer: h.Sum(nil)}, nil
}
