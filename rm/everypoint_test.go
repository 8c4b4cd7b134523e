package rm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// A point is one run of the scenario: the chip breaks in one way, at one command.
type point struct {
	testing.TB
	*breaker
	stock  stock
	errors int
}

// stock is what a chip's clients bring with them, made once: keys cost most of the time.
type stock struct {
	blobs [4]tpm2.CreateResponse
}

func newStock(t testing.TB, tpm tpmtest.Sender) (s stock) {
	t.Helper()
	parent := primary(t, tpm)
	for i := range s.blobs {
		r, err := tpm2.Create{ParentHandle: parent, InPublic: tpm2.New2B(eccTemplate)}.Execute(tpm)
		if err != nil {
			t.Fatal(err)
		}
		s.blobs[i] = *r
	}
	flush(t, tpm, parent.Handle)
	return s
}

// step is one thing that a client does. It fails at most as often as the chip broke, and works when it is done again.
func (p *point) step(name string, do func() error) {
	p.Helper()
	allowed := 1 + p.how.away
	for {
		err := do()
		if err == nil {
			return
		}
		broken, _ := p.state()
		if p.errors++; broken == 0 || p.errors > allowed {
			p.Errorf("%s: %v; the chip broke at %v, error number %d", name, err, broken, p.errors)
			return
		}
	}
}

// client is one client of the scenario, with a key of its own and perhaps a session.
type client struct {
	p       *point
	space   *rm.Space
	blob    tpm2.CreateResponse
	key     tpm2.NamedHandle
	public  *ecdsa.PublicKey
	session tpm2.Session
	lost    int  // how often the session was
	failed  bool // a command in the session has: then it is ended
}

func (p *point) client(uid uint32) *client {
	p.Helper()
	s, err := p.m.Open(rm.Options{UID: uid, Filter: named(p, "all")})
	if err != nil {
		p.Fatal(err)
	}
	return &client{p: p, space: s, blob: p.stock.blobs[int(uid)%len(p.stock.blobs)]}
}

// load makes the primary, loads the key, and flushes the primary.
func (c *client) load() error {
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(c.space)
	if err != nil {
		return err
	}
	defer tpm2.FlushContext{FlushHandle: parent.ObjectHandle}.Execute(c.space)
	loaded, err := tpm2.Load{ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name},
		InPrivate: c.blob.OutPrivate, InPublic: c.blob.OutPublic}.Execute(c.space)
	if err != nil {
		return err
	}
	c.key = tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}
	c.public, err = eccPublic(c.blob.OutPublic)
	return err
}

func eccPublic(public tpm2.TPM2BPublic) (*ecdsa.PublicKey, error) {
	area, err := public.Contents()
	if err != nil {
		return nil, err
	}
	point, err := area.Unique.ECC()
	if err != nil {
		return nil, err
	}
	uncompressed := make([]byte, 1+32+32) // SEC 1, 2.3.3
	uncompressed[0] = 4
	copy(uncompressed[1+32-len(point.X.Buffer):], point.X.Buffer)
	copy(uncompressed[1+64-len(point.Y.Buffer):], point.Y.Buffer)
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), uncompressed)
}

func (c *client) sign() error { return c.signWith(tpm2.PasswordAuth(nil)) }

func (c *client) signWith(auth tpm2.Session) error {
	r, err := tpm2.Sign{
		KeyHandle: tpm2.AuthHandle{Handle: c.key.Handle, Name: c.key.Name, Auth: auth},
		Digest:    tpm2.TPM2BDigest{Buffer: digest[:]},
		InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(c.space)
	if err != nil {
		return err
	}
	signature, err := r.Signature.Signature.ECDSA()
	if err != nil {
		return err
	}
	if !ecdsa.Verify(c.public, digest[:], new(big.Int).SetBytes(signature.SignatureR.Buffer), new(big.Int).SetBytes(signature.SignatureS.Buffer)) {
		return errors.New("a signature that is not right")
	}
	return nil
}

func (c *client) start() error {
	s, _, err := tpm2.HMACSession(c.space, tpm2.TPMAlgSHA256, 16)
	if err == nil {
		c.session = s
	}
	return err
}

// signInSession signs with the client's own session. One that was lost, and is allowed to be, is started anew.
func (c *client) signInSession() error {
	err := c.signWith(c.session)
	broken, _ := c.p.state()
	if isLost(err) && (c.p.how.resets || broken == tpm2.TPMCCContextSave || c.failed) {
		if err := c.start(); err != nil {
			return err
		}
		if c.lost++; c.lost > 1 || broken == 0 {
			return fmt.Errorf("lost without a cause, or again: %w", err)
		}
		return c.signWith(c.session)
	}
	c.failed = c.failed || err != nil
	return err
}

func isLost(err error) bool {
	rc, ok := err.(tpm2.TPMRC)
	return ok && rc == tpm2.TPMRCReferenceS0
}

// make creates a key, which needs a slot to work in.
func (c *client) make() error {
	parent, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(c.space)
	if err != nil {
		return err
	}
	defer tpm2.FlushContext{FlushHandle: parent.ObjectHandle}.Execute(c.space)
	_, err = tpm2.Create{ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name}, InPublic: tpm2.New2B(eccTemplate)}.Execute(c.space)
	return err
}

// eccTemplate is a key that is quickly made.
var eccTemplate = tpm2.TPMTPublic{
	Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true},
	Parameters:       tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
	Unique:           tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
}

// hash runs a sequence on the chip. Half of one is not gone on with: whether the chip has heard the other half is not known.
func (c *client) hash() error {
	r, err := tpm2.HashSequenceStart{HashAlg: tpm2.TPMAlgSHA256}.Execute(c.space)
	if err != nil {
		return err
	}
	done, err := tpm2.SequenceComplete{SequenceHandle: tpm2.AuthHandle{Handle: r.SequenceHandle, Auth: tpm2.PasswordAuth(nil)},
		Buffer: tpm2.TPM2BMaxBuffer{Buffer: []byte("what is signed")}, Hierarchy: tpm2.TPMRHNull}.Execute(c.space)
	if err == nil && string(done.Result.Buffer) != string(digest[:]) {
		return fmt.Errorf("a wrong hash: %x", done.Result.Buffer)
	}
	return err
}

// arrivals are four clients with a key and a session each.
func (p *point) arrivals() (clients []*client) {
	for uid := range uint32(4) {
		c := p.client(uid)
		clients = append(clients, c)
		p.step("load", c.load)
		p.step("start a session", c.start)
	}
	return clients
}

// scenario is what four clients do on a chip that has room for three objects and three sessions: the primary is made and remembered, objects are evicted,
// sessions saved, loaded and ended; clients come and go.
func (p *point) scenario() {
	clients := p.arrivals()
	a, b, c, d := clients[0], clients[1], clients[2], clients[3]
	p.step("sign", a.sign)
	p.step("sign in a session", b.signInSession)
	p.step("create", c.make)
	p.step("hash", d.hash)
	p.step("sign in a session", d.signInSession)
	p.step("flush", func() error {
		_, err := tpm2.FlushContext{FlushHandle: a.key.Handle}.Execute(a.space)
		return err
	})
	c.space.Close()
	p.step("load again", a.load)
	e := p.client(5)
	p.step("load", e.load)
	p.step("sign", e.sign)
	e.space.Close()
	for _, c := range []*client{a, b, d} {
		p.step("sign at the end", c.sign)
		p.step("sign in a session at the end", c.signInSession)
	}
	p.m.Close()
}

// others is what somebody else has on the same chip, and goes on with.
type others struct {
	t       testing.TB
	raw     *tpmtest.Conn
	primary tpm2.NamedHandle // the same as our clients'
	session tpm2.Session
}

func (o *others) come() {
	o.primary = primary(o.t, o.raw)
	o.session = session(o.t, o.raw)
}

// comeFirst takes, after a reset, the handles that our clients had before.
func (o *others) comeFirst() {
	object, s := primary(o.t, o.raw).Handle, session(o.t, o.raw).Handle()
	o.come()
	flush(o.t, o.raw, object)
	flush(o.t, o.raw, s)
}

// stay uses all of it, and takes it off the chip.
func (o *others) stay() {
	o.t.Helper()
	_, err := tpm2.Create{ParentHandle: tpm2.AuthHandle{Handle: o.primary.Handle, Name: o.primary.Name, Auth: o.session}, InPublic: tpm2.New2B(eccTemplate)}.Execute(o.raw)
	if err != nil {
		o.t.Errorf("somebody else's key and session: %v", err)
	}
	flush(o.t, o.raw, o.primary.Handle)
	flush(o.t, o.raw, o.session.Handle())
}

// empty takes off the chip what is left, so that the next run has it to itself.
func (b *breaker) empty() {
	b.t.Helper()
	leaks, err := tpmtest.Leaks(b.raw)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range leaks {
		flush(b.t, b.raw, h)
	}
}

// breakAt runs the scenario on a chip that breaks at one command, 0 for never, and gives the number of commands that were sent.
func breakAt(t testing.TB, chip *breaker, s stock, how breakage, at int, sharing rm.Sharing) int {
	t.Helper()
	b := &breaker{t: t, spec: chip.spec, raw: chip.raw, how: how, at: at}
	b.m = rm.New(rm.Config{Sharing: sharing, Open: b.open})
	b.m.SetPatience(long)
	if at == 1 && how.hangs {
		b.m.SetPatience(short)
	}
	o := &others{t: t, raw: b.raw}
	if sharing == rm.Shared {
		b.foreign = o.comeFirst
		if how.silent { // who takes handles that we hold and have no cause to doubt cannot be told from us
			b.foreign = o.come
		}
		o.come()
	}
	defer func() {
		if t.Failed() {
			t.Logf("%s at command %d, 0x%x, %v", how.name, at, uint32(b.broken), sharing)
		}
	}()
	p := &point{TB: t, breaker: b, stock: s}
	p.scenario()
	if sharing == rm.Shared {
		o.stay()
	}
	broken, sent := b.state()
	if leaks, err := tpmtest.Leaks(b.raw); err != nil || len(leaks) > 0 {
		t.Errorf("%s at command %d, %v: left on the chip: %x, %v", how.name, at, broken, leaks, err)
	}
	b.empty()
	return sent
}

// everyPoint breaks the chip in every way at every stride-th command.
func everyPoint(t *testing.T, stride int) {
	for name, sharing := range map[string]rm.Sharing{"alone": rm.Alone, "shared": rm.Shared} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := tpmtest.SWTPM(t)
			chip := &breaker{spec: spec, raw: tpmtest.Dial(t, spec)}
			s := newStock(t, chip.raw)
			commands := breakAt(t, chip, s, breakages[0], 0, sharing)
			runs, turn := 0, 0
			for _, how := range breakages {
				for at := 1 + turn%stride; at <= commands && !t.Failed(); at += stride {
					breakAt(t, chip, s, how, at, sharing)
					runs++
				}
				turn++
			}
			t.Logf("%d commands, %d runs", commands, runs)
		})
	}
}

// Whatever breaks, at whatever command: one client gets one error, everybody's next command works, nothing is left on the chip, and what is somebody else's
// stays.
func TestBreaksAnywhere(t *testing.T) { everyPoint(t, 11) }
