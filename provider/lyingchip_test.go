package provider_test

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/tpmtest"
)

// lying is a chip whose responses to one command are changed.
func lying(chip tpmtest.Sender, about tpm2.TPMCC, lie func(response []byte) []byte) tpmtest.Sender {
	return tpmtest.Func(func(command []byte) ([]byte, error) {
		response, err := chip.Send(command)
		if err == nil && code(command) == about {
			response = lie(bytes.Clone(response))
		}
		return response, err
	})
}

// answerOf is a response with these bytes in a TPM2B, authorized by a password.
func answerOf(b []byte) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	response := binary.BigEndian.AppendUint32([]byte{0x80, 0x02, 0, 0, 0, 0, 0, 0, 0, 0}, uint32(len(body)))
	response = append(append(response, body...), 0, 0, 1, 0, 0)
	binary.BigEndian.PutUint32(response[2:], uint32(len(response)))
	return response
}

// What a broken chip computes, or something between it and us, is an error: no signature that gives the key away, no panic in the host.
func TestLyingChip(t *testing.T) {
	flip := func(response []byte) []byte { response[len(response)-20] ^= 1; return response }
	long := func([]byte) []byte { return answerOf(make([]byte, 300)) }
	none := func([]byte) []byte { return answerOf(nil) }
	for _, row := range []struct {
		name string
		lie  func([]byte) []byte
		in   tpm2.TPMCC
		says string // "": any error
	}{
		{"a flipped bit of a signature", flip, tpm2.TPMCCSign, "wrong signature"},
		{"too much", long, tpm2.TPMCCRSADecrypt, "300 bytes of 256"},
		{"nothing", none, tpm2.TPMCCRSADecrypt, ""},
	} {
		k := create(t, onChip(t, lying(&tpmtest.RSAChip{}, row.in, row.lie)), "web")
		if row.in == tpm2.TPMCCSign {
			if signature, err := k.SignPKCS1v15(crypto.SHA256, sum(crypto.SHA256)); err == nil || signature != nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%s: %x, %v", row.name, signature, err)
			}
			continue
		}
		for use, err := range map[string]error{
			"PSS":             second(k.SignPSS(crypto.SHA256, sum(crypto.SHA256), 32)),
			"PKCS #1 v1.5":    second(k.DecryptPKCS1v15(make([]byte, 256))),
			"OAEP":            second(k.DecryptOAEP(crypto.SHA256, crypto.SHA256, nil, make([]byte, 256))),
			"another padding": second(k.SignPKCS1v15(0, make([]byte, 20))),
		} {
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%s, %s: %v", row.name, use, err)
			}
		}
		if out, err := k.RawRSA(make([]byte, 256)); row.says != "" && err == nil {
			t.Errorf("%s, raw: %x", row.name, out)
		}
	}
}
