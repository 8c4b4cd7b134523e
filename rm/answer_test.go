package rm_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// answering is a manager whose chip a test can watch: none of these commands may reach it.
func answering(t *testing.T) (*bench, *rm.Space) {
	t.Helper()
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s := b.space(t, nobody)
	t.Cleanup(func() {
		for _, code := range b.recorder.Commands() {
			if slices.Contains([]tpm2.TPMCC{tpm2.TPMCCHash, tpm2.TPMCCHashSequenceStart, tpm2.TPMCCSequenceUpdate, tpm2.TPMCCSequenceComplete}, tpm2.TPMCC(code)) {
				t.Errorf("0x%x reached the chip", code)
			}
		}
	})
	return b, s
}

func TestHash(t *testing.T) {
	_, s := answering(t)
	data := bytes.Repeat([]byte("x"), 1024)
	r, err := tpm2.Hash{Data: tpm2.TPM2BMaxBuffer{Buffer: data}, HashAlg: tpm2.TPMAlgSHA256, Hierarchy: tpm2.TPMRHOwner}.Execute(s)
	want := sha256.Sum256(data)
	if err != nil || !bytes.Equal(r.OutHash.Buffer, want[:]) || r.Validation.Tag != tpm2.TPMSTHashCheck || len(r.Validation.Digest.Buffer) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = tpm2.Hash{Data: tpm2.TPM2BMaxBuffer{Buffer: data}, HashAlg: tpm2.TPMAlgNull, Hierarchy: tpm2.TPMRHNull}.Execute(s)
	wantRC(t, "a hash that there is not", err, 0x2C3)
	// The ticket is good enough for a key that is not restricted.
	newKey(t, s, false, "").mustSign(t)
}

func startHash(t *testing.T, s transport.TPM, auth string) tpm2.AuthHandle {
	t.Helper()
	r, err := tpm2.HashSequenceStart{Auth: tpm2.TPM2BAuth{Buffer: []byte(auth)}, HashAlg: tpm2.TPMAlgSHA512}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.AuthHandle{Handle: r.SequenceHandle, Auth: tpm2.PasswordAuth([]byte(auth))}
}

func update(s transport.TPM, q tpm2.AuthHandle, data string) error {
	_, err := tpm2.SequenceUpdate{SequenceHandle: q, Buffer: tpm2.TPM2BMaxBuffer{Buffer: []byte(data)}}.Execute(s)
	return err
}

func complete(t *testing.T, s transport.TPM, q tpm2.AuthHandle, rest, whole string) {
	t.Helper()
	r, err := tpm2.SequenceComplete{SequenceHandle: q, Buffer: tpm2.TPM2BMaxBuffer{Buffer: []byte(rest)}, Hierarchy: tpm2.TPMRHOwner}.Execute(s)
	want := sha512.Sum512([]byte(whole))
	if err != nil || !bytes.Equal(r.Result.Buffer, want[:]) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSequences(t *testing.T) {
	_, s := answering(t)
	a, b := startHash(t, s, ""), startHash(t, s, "secret") // interleaved
	for _, step := range []error{update(s, a, "one "), update(s, b, "other "), update(s, a, "two ")} {
		if step != nil {
			t.Error(step)
		}
	}
	wantRC(t, "a wrong password", update(s, tpm2.AuthHandle{Handle: b.Handle, Auth: tpm2.PasswordAuth([]byte("guess"))}, "x"), 0x9A2)
	complete(t, s, a, "three", "one two three")
	complete(t, s, b, "", "other ")
	wantRC(t, "a sequence that is over", update(s, a, "x"), 0x910)
	flushed := startHash(t, s, "")
	if _, err := (tpm2.FlushContext{FlushHandle: flushed.Handle}).Execute(s); err != nil {
		t.Error(err)
	}
	wantRC(t, "a sequence that was flushed", update(s, flushed, "x"), 0x910)
	wantRC(t, "a sequence as a key", key{tpm: s, handle: tpm2.NamedHandle{Handle: startHash(t, s, "").Handle, Name: tpm2.TPM2BName{Buffer: []byte{0, 0}}}}.sign(tpm2.PasswordAuth(nil)), filter.RCDenied)
	_, err := tpm2.ReadPublic{ObjectHandle: startHash(t, s, "").Handle}.Execute(s)
	wantRC(t, "the public area of a sequence", err, filter.RCDenied)
}

// contexts is a manager that can die and come back with the same key.
func contexts(chip func() (rm.Chip, error)) *rm.Manager {
	return rm.New(rm.Config{Sharing: rm.Alone, Open: chip, ContextKey: func() ([32]byte, error) { return [32]byte{1, 2, 3}, nil }})
}

func open(t *testing.T, m *rm.Manager, uid uint32) *rm.Space {
	t.Helper()
	s, err := m.Open(rm.Options{UID: uid})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func save(t *testing.T, tpm transport.TPM, handle tpm2.TPMHandle) tpm2.TPMSContext {
	t.Helper()
	r, err := tpm2.ContextSave{SaveHandle: handle}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return r.Context
}

// A saved context is good in another connection of the same user, after a restart of the manager and after a reset of the chip, again and again; and
// for nobody else.
func TestSavedContexts(t *testing.T) {
	l := newLosing(t)
	chip := func() (rm.Chip, error) { return chip{l.raw}, nil }
	m := contexts(chip)
	k := newKey(t, open(t, m, 7), false, "")
	saved := save(t, k.tpm, k.handle.Handle)
	if size := len(saved.ContextBlob.Buffer); size > 2048 {
		t.Errorf("a context of %d bytes", size)
	}
	reload := func(m *rm.Manager, uid uint32) error {
		s := open(t, m, uid)
		defer s.Close()
		r, err := tpm2.ContextLoad{Context: saved}.Execute(s)
		if err != nil {
			return err
		}
		again := k
		again.tpm, again.handle.Handle = s, r.LoadedHandle
		again.mustSign(t)
		return nil
	}
	for range 2 {
		if err := reload(m, 7); err != nil {
			t.Error(err)
		}
	}
	wantRC(t, "another user's", reload(m, 8), 0x1DF)
	m.Close()
	l.reset()
	m = contexts(chip)
	defer m.Close()
	if err := reload(m, 7); err != nil {
		t.Error(err)
	}
	for i := range saved.ContextBlob.Buffer {
		saved.ContextBlob.Buffer[i] ^= 1
		wantRC(t, "a changed byte", reload(m, 7), 0x1DF)
		saved.ContextBlob.Buffer[i] ^= 1
	}
	saved.SavedHandle = 0x80000001
	wantRC(t, "a changed handle", reload(m, 7), 0x1DF)
	other := rm.New(rm.Config{Sharing: rm.Alone, Open: chip})
	defer other.Close()
	saved.SavedHandle = 0x80000000
	wantRC(t, "another machine's", reload(other, 7), 0x1DF)
}

// A key whose parent has a password has no recipe, so the chip's own context is sealed instead; and the contexts of the chip itself do not enter.
func TestSavedChipContext(t *testing.T) {
	l := newLosing(t)
	s := l.open(7)
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate()),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte("p")}}}}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	saved := save(t, s, r.ObjectHandle)
	other := l.open(7)
	loaded, err := tpm2.ContextLoad{Context: saved}.Execute(other)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := (tpm2.ReadPublic{ObjectHandle: loaded.LoadedHandle}).Execute(other); err != nil || !bytes.Equal(public.Name.Buffer, r.Name.Buffer) {
		t.Errorf("%+v, %v", public, err)
	}
	foreign := save(t, l.raw, primary(t, l.raw).Handle)
	_, err = tpm2.ContextLoad{Context: foreign}.Execute(s)
	wantRC(t, "a context of the chip's own", err, 0x1DF)
	_, err = tpm2.ContextSave{SaveHandle: 0x02000000}.Execute(s)
	wantRC(t, "a session that is not one's own", err, 0x910)
	_, err = tpm2.ContextSave{SaveHandle: 0x80000077}.Execute(s)
	wantRC(t, "the context of what is not there", err, 0x910)
}

func TestSavedSequence(t *testing.T) {
	_, s := answering(t)
	q := startHash(t, s, "secret")
	if err := update(s, q, "one "); err != nil {
		t.Fatal(err)
	}
	saved := save(t, s, q.Handle)
	complete(t, s, q, "two", "one two")
	r, err := tpm2.ContextLoad{Context: saved}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	q.Handle = r.LoadedHandle
	complete(t, s, q, "three", "one three")
}
