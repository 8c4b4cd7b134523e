package rm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// A row of an administrator's may say less than those of rsa. What the manager answers by itself gets the code then that a TPM would give, and nobody's
// service ends.
func TestAnswersWithoutConditions(t *testing.T) {
	f, err := filter.Parse(`profile bare from rsa: no conditions
answer TPM2_SequenceComplete: x
answer TPM2_SequenceUpdate: x
answer TPM2_Hash: x
answer TPM2_HashSequenceStart: x
answer TPM2_ContextSave: x
`)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s, err := b.Open(rm.Options{UID: nobody, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := newKey(t, s, false, "")
	q := startHash(t, s, "")
	h := session(t, s)
	none, password, authSession := []uint32{}, []uint32{wire.RSPassword}, []uint32{uint32(h.Handle())}
	key, sequence, owner := uint32(k.handle.Handle), uint32(q.Handle), uint32(tpm2.TPMRHOwner)
	buffer, hash := []byte{0, 1, 'x'}, []byte{0, 1, 'x', 0, 0x0B, 0x40, 0, 0, 7}
	for _, row := range []struct {
		name     string
		code     tpm2.TPMCC
		handle   uint32 // 0: none
		sessions []uint32
		params   []byte
		want     tpm2.TPMRC
	}{
		{"a key is no sequence", tpm2.TPMCCSequenceUpdate, key, password, buffer, 0x189},
		{"a hierarchy is no sequence", tpm2.TPMCCSequenceUpdate, owner, password, buffer, 0x189},
		{"a key is no sequence to complete", tpm2.TPMCCSequenceComplete, key, password, append(buffer, 0x40, 0, 0, 7), 0x189},
		{"no password", tpm2.TPMCCSequenceUpdate, sequence, none, buffer, tpm2.TPMRCAuthMissing},
		{"a session, whose key only the chip knows", tpm2.TPMCCSequenceUpdate, sequence, authSession, buffer, tpm2.TPMRCAuthContext},
		{"a password and a session", tpm2.TPMCCSequenceUpdate, sequence, []uint32{wire.RSPassword, uint32(h.Handle())}, buffer, tpm2.TPMRCAuthContext},
		{"a hash with a session", tpm2.TPMCCHash, 0, authSession, hash, tpm2.TPMRCAuthContext},
		{"a sequence with a session", tpm2.TPMCCHashSequenceStart, 0, authSession, []byte{0, 0, 0, 0x0B}, tpm2.TPMRCAuthContext},
		{"save a hierarchy", tpm2.TPMCCContextSave, owner, none, nil, 0x910},
		{"the sequence goes on", tpm2.TPMCCSequenceUpdate, sequence, password, buffer, 0},
		{"a hash", tpm2.TPMCCHash, 0, none, hash, 0},
	} {
		r, err := s.Send(withSessions(row.code, row.handle, row.sessions, row.params))
		if header, ok := wire.ParseHeader(r); err != nil || !ok || tpm2.TPMRC(header.Code) != row.want {
			t.Errorf("%s: %x, %v, want 0x%x", row.name, r, err, uint32(row.want))
		}
	}
	flush(t, s, h.Handle())
}

func withSessions(code tpm2.TPMCC, handle uint32, sessions []uint32, params []byte) []byte {
	tag := tpm2.TPMSTNoSessions
	if len(sessions) > 0 {
		tag = tpm2.TPMSTSessions
	}
	m := wire.NewMessage(tag, uint32(code))
	if handle != 0 {
		m.Uint32(handle)
	}
	if len(sessions) > 0 {
		m.Uint32(uint32(9 * len(sessions)))
	}
	for _, s := range sessions {
		attributes := wire.ContinueSession
		if s == wire.RSPassword {
			attributes = 0
		}
		m.Uint32(s).Uint16(0).Uint8(attributes).Uint16(0)
	}
	return m.Raw(params).Bytes()
}
