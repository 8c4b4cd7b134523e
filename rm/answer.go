package rm

import (
	"crypto"
	_ "crypto/sha1" // the hashes of TPMs
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/subtle"
	"hash"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm/wire"
)

// answers are the commands that the manager can answer by itself; a filter's row says whether it does. Programs lean on them, and they give the chip
// nothing but work.
var answers = map[tpm2.TPMCC]func(*Space, *wire.Command) ([]byte, error){
	tpm2.TPMCCHash:              (*Space).hash,
	tpm2.TPMCCHashSequenceStart: (*Space).startSequence,
	tpm2.TPMCCSequenceUpdate:    (*Space).updateSequence,
	tpm2.TPMCCSequenceComplete:  (*Space).completeSequence,
	tpm2.TPMCCContextSave:       (*Space).saveContext,
	tpm2.TPMCCContextLoad:       (*Space).loadContext,
}

// What a TPM says of a bad hash, as the second parameter of TPM2_Hash and of TPM2_HashSequenceStart, of a wrong password of the first handle, and of a first
// handle that is no sequence.
const (
	rcHashParameter2 = tpm2.TPMRCHash | 0x40 | 2<<8
	rcBadAuth1       = tpm2.TPMRCBadAuth | 0x800 | 1<<8
	rcMode1          = tpm2.TPMRCMode | 1<<8
)

// answerItself answers a command without the chip. Only passwords can authorize it: what a session's HMAC must be, the chip and the client know.
func (s *Space) answerItself(c *wire.Command) ([]byte, error) {
	for _, a := range c.Auths() {
		if a.Session != wire.RSPassword {
			return wire.ErrorResponse(tpm2.TPMRCAuthContext), nil
		}
	}
	return answers[c.Code](s, c)
}

// A sequence is a hash that a client computes piece by piece.
type sequence struct {
	alg  tpm2.TPMAlgID
	hash hash.Hash
	auth []byte
}

// sequenceInfo is what a filter is told of a sequence. Its password is nothing that a chip counts.
var sequenceInfo = filter.Object{Attributes: wire.NoDA, Sequence: true}

var hashes = map[tpm2.TPMAlgID]crypto.Hash{
	tpm2.TPMAlgSHA1:    crypto.SHA1,
	tpm2.TPMAlgSHA256:  crypto.SHA256,
	tpm2.TPMAlgSHA384:  crypto.SHA384,
	tpm2.TPMAlgSHA512:  crypto.SHA512,
	tpm2.TPMAlgSHA3256: crypto.SHA3_256,
	tpm2.TPMAlgSHA3384: crypto.SHA3_384,
	tpm2.TPMAlgSHA3512: crypto.SHA3_512,
}

func hashAlg(c *wire.Command) tpm2.TPMAlgID {
	cursor := wire.NewCursor(c.Param("hashAlg"))
	return cursor.Alg()
}

// contents are those of a TPM2B parameter.
func contents(c *wire.Command, name string) []byte { return c.Param(name)[2:] }

// respond is a success with these parameters, and for each password the empty answer that it gets (Part 1, 19.4).
func respond(c *wire.Command, parameters []byte) []byte {
	if c.Tag == tpm2.TPMSTNoSessions {
		return wire.NewMessage(c.Tag, 0).Raw(parameters).Bytes()
	}
	m := wire.NewMessage(c.Tag, 0).Uint32(uint32(len(parameters))).Raw(parameters)
	for range c.Auths() {
		m.Uint16(0).Uint8(wire.ContinueSession).Uint16(0)
	}
	return m.Bytes()
}

// digestParameters are a digest and a ticket that says nothing (TPMT_TK_HASHCHECK, Part 2, 10.7.6): unrestricted keys sign without one.
func digestParameters(digest []byte) []byte {
	m := wire.NewMessage(0, 0).Uint16(uint16(len(digest))).Raw(digest)
	m.Uint16(uint16(tpm2.TPMSTHashCheck)).Uint32(uint32(tpm2.TPMRHNull)).Uint16(0)
	return m.Bytes()[wire.HeaderSize:]
}

// hash is TPM2_Hash (Part 3, 15.4).
func (s *Space) hash(c *wire.Command) ([]byte, error) {
	h, ok := hashes[hashAlg(c)]
	if !ok {
		return wire.ErrorResponse(rcHashParameter2), nil
	}
	digest := h.New()
	digest.Write(contents(c, "data"))
	return respond(c, digestParameters(digest.Sum(nil))), nil
}

// startSequence is TPM2_HashSequenceStart (Part 3, 17.3).
func (s *Space) startSequence(c *wire.Command) ([]byte, error) {
	h, ok := hashes[hashAlg(c)]
	if !ok {
		return wire.ErrorResponse(rcHashParameter2), nil
	}
	auth := append([]byte{}, contents(c, "auth")...)
	vhandle := s.freeHandle()
	s.sequences[vhandle] = &sequence{alg: hashAlg(c), hash: h.New(), auth: auth}
	return wire.NewMessage(c.Tag, 0).Uint32(vhandle).Bytes(), nil
}

// updateSequence is TPM2_SequenceUpdate (Part 3, 17.4).
func (s *Space) updateSequence(c *wire.Command) ([]byte, error) {
	q, rc := s.sequenceFor(c)
	if rc != 0 {
		return wire.ErrorResponse(rc), nil
	}
	q.hash.Write(contents(c, "buffer"))
	return respond(c, nil), nil
}

// completeSequence is TPM2_SequenceComplete (Part 3, 17.5), which ends the sequence.
func (s *Space) completeSequence(c *wire.Command) ([]byte, error) {
	q, rc := s.sequenceFor(c)
	if rc != 0 {
		return wire.ErrorResponse(rc), nil
	}
	q.hash.Write(contents(c, "buffer"))
	s.endSequence(c.Handle(0))
	return respond(c, digestParameters(q.hash.Sum(nil))), nil
}

// sequenceFor is the sequence that a command names, with its password.
func (s *Space) sequenceFor(c *wire.Command) (*sequence, tpm2.TPMRC) {
	q := s.sequences[c.Handle(0)]
	switch {
	case q == nil:
		return nil, rcMode1
	case len(c.Auths()) == 0:
		return nil, tpm2.TPMRCAuthMissing
	case !q.admits(c.Auths()[0].HMAC):
		return nil, rcBadAuth1
	}
	return q, 0
}

// admits tells whether a password is the sequence's. Trailing zeros are no part of one (Part 1, 19.6.4.3).
func (q *sequence) admits(password []byte) bool {
	return subtle.ConstantTimeCompare(trimmed(password), trimmed(q.auth)) == 1
}

func trimmed(auth []byte) []byte {
	for len(auth) > 0 && auth[len(auth)-1] == 0 {
		auth = auth[:len(auth)-1]
	}
	return auth
}
