package attest

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
)

// readStatement checks that what was signed is about the key, and fills in what it says. The signature was checked before.
func (e *Evidence) readStatement(p *Parts, nonce []byte) error {
	if err := checkHead(p.Attest); err != nil {
		return err
	}
	statement, err := unmarshal[tpm2.TPMSAttest](p.Attest, "statement")
	if err != nil {
		return err
	}
	e.Nonce = statement.ExtraData.Buffer
	if len(nonce) > 0 && subtle.ConstantTimeCompare(nonce, e.Nonce) == 0 {
		if len(e.Nonce) == 0 {
			return reject(ErrNonce, "it has none in the place of %x", nonce)
		}
		return reject(ErrNonce, "it has %x in the place of %x", e.Nonce, nonce)
	}
	if statement.Type == tpm2.TPMSTAttestCertify {
		return e.readCertify(statement, p.Creation)
	}
	return e.readCreation(statement, p.Creation)
}

// checkHead looks at what a statement begins with: a restricted key signs nothing from outside with this value there.
func checkHead(attest []byte) error {
	if len(attest) < 6 {
		return reject(ErrFormat, "the statement is damaged: %d bytes", len(attest))
	}
	if magic := binary.BigEndian.Uint32(attest); magic != uint32(tpm2.TPMGeneratedValue) {
		return reject(ErrStatement, "it begins with %#08x, so it comes from no TPM", magic)
	}
	if kind := tpm2.TPMST(binary.BigEndian.Uint16(attest[4:])); kind != tpm2.TPMSTAttestCreation && kind != tpm2.TPMSTAttestCertify {
		return reject(ErrStatement, "it is of type %#x, neither TPM2_CertifyCreation's nor TPM2_Certify's", kind)
	}
	return nil
}

// readCertify takes what TPM2_Certify says (TPMS_CERTIFY_INFO, Part 2, 10.12.3): the key is loaded, with its private part. From its attributes follows the rest.
func (e *Evidence) readCertify(statement *tpm2.TPMSAttest, creation []byte) error {
	info, err := statement.Attested.Certify()
	switch {
	case err != nil:
		return reject(ErrFormat, "the statement is damaged: %v", err)
	case len(creation) > 0:
		return reject(ErrFormat, "there is creation data that nothing vouches for")
	}
	return e.checkName(info.Name.Buffer)
}

// readCreation takes what TPM2_CertifyCreation says (TPMS_CREATION_INFO, Part 2, 10.12.7): the TPM has made the key, with this creation data.
func (e *Evidence) readCreation(statement *tpm2.TPMSAttest, creation []byte) error {
	info, err := statement.Attested.Creation()
	if err != nil {
		return reject(ErrFormat, "the statement is damaged: %v", err)
	}
	if err := e.checkName(info.ObjectName.Buffer); err != nil {
		return err
	}
	hash := hashes[nameAlg(e.Name)]
	if !bytes.Equal(info.CreationHash.Buffer, sum(hash, creation)) {
		return reject(ErrStatement, "the creation data is another key's, or was changed")
	}
	data, err := unmarshal[tpm2.TPMSCreationData](creation, "creation data")
	if err != nil {
		return err
	}
	if data.ParentNameAlg != nameAlg(data.ParentName.Buffer) {
		return reject(ErrStatement, "the creation data names no parent")
	}
	e.Creation = &Creation{ParentName: data.ParentName.Buffer, Challenge: data.OutsideInfo.Buffer}
	return nil
}

func (e *Evidence) checkName(name []byte) error {
	if !bytes.Equal(name, e.Name) {
		return reject(ErrStatement, "it is about a key of Name %x, and this one's is %x", name, e.Name)
	}
	return nil
}

// nameAlg is the hash that a Name says it is made with; 0 if it is none.
func nameAlg(name []byte) tpm2.TPMAlgID {
	if len(name) < 2 {
		return 0
	}
	alg := tpm2.TPMAlgID(binary.BigEndian.Uint16(name))
	hash, known := hashes[alg]
	if !known || len(name) != 2+hash.Size() {
		return 0
	}
	return alg
}
