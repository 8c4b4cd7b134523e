package provider

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

const sshRSA = "ssh-rsa"

// AuthorizedKey is the public key as a line of authorized_keys (sshd(8)), with the label as the comment.
func (k *Key) AuthorizedKey() ([]byte, error) {
	comment := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, k.Label())
	return fmt.Appendf(nil, "%s %s %s\n", sshRSA, base64.StdEncoding.EncodeToString(sshBlob(k.Public())), comment), nil
}

// sshBlob is a public key as RFC 4253, 6.6 has it. It is written out here because golang.org/x/crypto/ssh, for these lines alone, would make each host of the
// module start more slowly.
func sshBlob(k *rsa.PublicKey) []byte {
	blob := sshString(nil, []byte(sshRSA))
	return sshInteger(sshInteger(blob, big.NewInt(int64(k.E))), k.N)
}

func sshString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// sshInteger appends a positive mpint (RFC 4251, 5).
func sshInteger(b []byte, n *big.Int) []byte {
	return sshString(b, n.FillBytes(make([]byte, n.BitLen()/8+1)))
}
