package rm_test

import (
	"bytes"
	"crypto/sha1"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// loadSession makes a session that was saved one's own, which keeps its handle.
func loadSession(t testing.TB, tpm transport.TPM, context tpm2.TPMSContext, want tpm2.TPMHandle) {
	t.Helper()
	r, err := tpm2.ContextLoad{Context: context}.Execute(tpm)
	if err != nil || r.LoadedHandle != want {
		t.Errorf("load session 0x%x: %+v, %v", want, r, err)
	}
}

// mustGoOn tells whether a policy session is there and has not begun anew.
func mustGoOn(t testing.TB, tpm transport.TPM, handle tpm2.TPMHandle) {
	t.Helper()
	if r, err := (tpm2.PolicyGetDigest{PolicySession: handle}).Execute(tpm); err != nil || len(r.PolicyDigest.Buffer) != 32 {
		t.Errorf("session 0x%x: %+v, %v", handle, r, err)
	}
}

func authSessionMax(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	for range 4 {
		policy(t, s)
	}
	_, _, err := tpm2.PolicySession(s, tpm2.TPMAlgSHA256, 16)
	wantRC(t, "a fifth session", err, 0x000B0903)
}

func authSessionStartFlush(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	p := policy(t, s)
	flush(t, s, p.Handle())
	_, err := tpm2.PolicyGetDigest{PolicySession: p.Handle()}.Execute(s)
	wantRC(t, "a session that was flushed", err, 0x910)
}

// A saved session outlives its connection, but not the manager; the cleanup of the bench looks at the chip.
func authSessionStartSave(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	p := policy(t, s)
	save(t, s, p.Handle())
	_, err := tpm2.PolicyGetDigest{PolicySession: p.Handle()}.Execute(s)
	wantRC(t, "a session that was saved", err, 0x910)
	s.Close()
}

func authSessionStartSaveLoad(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	p := policy(t, s)
	loadSession(t, s, save(t, s, p.Handle()), p.Handle())
	mustGoOn(t, s, p.Handle())
}

func sessionFromOpenConnection(t *testing.T, b *bench, uid uint32) {
	first, second := b.permissive(t, uid), b.permissive(t, uid)
	p := policy(t, first)
	loadSession(t, second, save(t, first, p.Handle()), p.Handle())
	mustGoOn(t, second, p.Handle())
	first.Close()
	mustGoOn(t, second, p.Handle())
}

// More often than there is room for sessions that nobody claims.
func sessionFromClosedConnection(t *testing.T, b *bench, uid uint32) {
	for range 5 {
		first := b.permissive(t, uid)
		p := policy(t, first)
		saved := save(t, first, p.Handle())
		first.Close()
		second := b.permissive(t, uid)
		loadSession(t, second, saved, p.Handle())
		mustGoOn(t, second, p.Handle())
		second.Close()
	}
}

// Of one more session than may wait, the one that was saved first is lost.
func sessionFromClosedConnections(t *testing.T, b *bench, uid uint32) {
	type waiting struct {
		context tpm2.TPMSContext
		handle  tpm2.TPMHandle
	}
	var sessions []waiting
	for range 5 {
		s := b.permissive(t, uid)
		p := policy(t, s)
		sessions = append(sessions, waiting{save(t, s, p.Handle()), p.Handle()})
		s.Close()
	}
	s := b.permissive(t, uid)
	_, err := tpm2.ContextLoad{Context: sessions[0].context}.Execute(s)
	wantRC(t, "the oldest", err, 0x1CB)
	for _, w := range sessions[1:] {
		loadSession(t, s, w.context, w.handle)
		mustGoOn(t, s, w.handle)
	}
}

// What is listed as loaded and as saved follows a session through its life.
func startAuthSession(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	p := policy(t, s).Handle()
	wantSessions := func(when string, loaded, saved []tpm2.TPMHandle) {
		t.Helper()
		wantList(t, "loaded "+when, list(t, s, loadedSessions), loaded...)
		wantList(t, "saved "+when, list(t, s, savedSessions), saved...)
	}
	one := []tpm2.TPMHandle{p}
	wantSessions("after the start", one, nil)
	context := save(t, s, p)
	wantSessions("after it was saved", nil, one)
	loadSession(t, s, context, p)
	wantSessions("after it was loaded", one, nil)
	flush(t, s, p)
	wantSessions("after it was flushed", nil, nil)
}

// A saved session outlives more saves than the chip's gap allows: 255 on the simulator, where each of the busy sessions pushes another one off the chip. (The
// 65,535 of swtpm have a test of their own.) The client sees no gap.
func sessionGap(t *testing.T, b *bench, uid uint32) {
	s, other := b.permissive(t, uid), b.permissive(t, uid+1000)
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTContextGapMax), PropertyCount: 1}.Execute(s)
	if err != nil {
		t.Fatal(err)
	}
	if properties, err := r.CapabilityData.Data.TPMProperties(); err != nil || properties.TPMProperty[0].Value != 0xFFFFFFFF {
		t.Errorf("%+v, %v", properties, err)
	}
	first := policy(t, s)
	saved := save(t, s, first.Handle())
	var busy []tpm2.TPMHandle
	for range 4 {
		busy = append(busy, policy(t, other).Handle())
	}
	for i := range 300 {
		p := policy(t, s).Handle()
		context := save(t, s, p)
		if sequence := context.Sequence; sequence <= saved.Sequence {
			t.Fatalf("context %d after %d", sequence, saved.Sequence)
		}
		flush(t, s, p)
		mustGoOn(t, other, busy[i%len(busy)])
	}
	loadSession(t, s, saved, first.Handle())
	mustGoOn(t, s, first.Handle())
}

// Sequences that interrupt one another on a chip with three slots, each with a password that begins with a zero.
func hashSequence(t *testing.T, b *bench, uid uint32) {
	s := b.permissive(t, uid)
	data := bytes.Repeat([]byte{0, 1, 2, 0xff, 0xfe}, 411)
	first := startSHA1(t, s)
	if err := update(s, first, string(data[:1024])); err != nil {
		t.Fatal(err)
	}
	var others []tpm2.AuthHandle
	for range 4 {
		others = append(others, startSHA1(t, s))
	}
	for _, q := range others {
		completeSHA1(t, s, q, nil, nil)
	}
	if err := update(s, first, string(data[1024:2048])); err != nil {
		t.Fatal(err)
	}
	b.fill(t)
	completeSHA1(t, s, first, data[2048:], data)
	var many []tpm2.AuthHandle
	for range 10 {
		many = append(many, startSHA1(t, s))
	}
	for i := range many {
		completeSHA1(t, s, many[len(many)-1-i], nil, nil)
	}
}

var zeroAndMore = []byte{0x00, 0xff}

func startSHA1(t testing.TB, tpm transport.TPM) tpm2.AuthHandle {
	t.Helper()
	r, err := tpm2.HashSequenceStart{Auth: tpm2.TPM2BAuth{Buffer: zeroAndMore}, HashAlg: tpm2.TPMAlgSHA1}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return tpm2.AuthHandle{Handle: r.SequenceHandle, Auth: tpm2.PasswordAuth(zeroAndMore)}
}

func completeSHA1(t testing.TB, tpm transport.TPM, q tpm2.AuthHandle, rest, whole []byte) {
	t.Helper()
	r, err := tpm2.SequenceComplete{SequenceHandle: q, Buffer: tpm2.TPM2BMaxBuffer{Buffer: rest}, Hierarchy: tpm2.TPMRHPlatform}.Execute(tpm)
	if want := sha1.Sum(whole); err != nil || !bytes.Equal(r.Result.Buffer, want[:]) {
		t.Errorf("%+v, %v", r, err)
	}
}
