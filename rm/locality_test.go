package rm_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
	"tpmkey.example/rm/tpmtest"
	"tpmkey.example/rm/wire"
)

// openLocated gives a manager of a swtpm whose control channel is named.
func openLocated(t *testing.T) *rm.Manager {
	t.Helper()
	spec := tpmtest.SWTPM(t)
	config, err := device.OpenChip(spec + ",ctrl=" + strings.TrimPrefix(spec, "unix:") + ".ctrl")
	if err != nil {
		t.Fatal(err)
	}
	m := rm.New(config)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if at := localityOf(t, tpmtest.Dial(t, spec)); at != 0 {
			t.Errorf("left at locality %d", at)
		}
	})
	return m
}

// from gives a client that may do everything from a locality.
func from(t *testing.T, m *rm.Manager, locality uint8) *rm.Space {
	t.Helper()
	all, err := filter.Named("all")
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(rm.Options{Filter: all, Locality: locality})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// localityOf is where a new primary key says that it was made (TPMS_CREATION_DATA, Part 2, 15.1).
func localityOf(t *testing.T, tpm tpmtest.Sender) int {
	t.Helper()
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(tpm)
	data, err := r.CreationData.Contents()
	if err != nil {
		t.Fatal(err)
	}
	l := data.Locality
	return slices.Index([]bool{l.TPMLocZero, l.TPMLocOne, l.TPMLocTwo, l.TPMLocThree, l.TPMLocFour}, true)
}

// Each client's commands come from its own locality, also the answers that are given without the chip.
func TestLocalities(t *testing.T) {
	m := openLocated(t)
	for range 2 {
		for _, locality := range []uint8{0, 3, 1, 0, 4, 2} {
			if at := localityOf(t, from(t, m, locality)); at != int(locality) {
				t.Errorf("a key of a client at locality %d was made at %d", locality, at)
			}
		}
	}
	home, away := from(t, m, 0), from(t, m, 2)
	for range 2 { // PCR 20 is reset from locality 2 and higher (PTP 1.05, 4.7)
		reset := tpm2.PCRReset{PCRHandle: tpm2.AuthHandle{Handle: 20, Auth: tpm2.PasswordAuth(nil)}}
		if _, err := reset.Execute(home); !errors.Is(err, tpm2.TPMRCLocality) {
			t.Errorf("PCR 20 reset from locality 0: %v", err)
		}
		if _, err := reset.Execute(away); err != nil {
			t.Errorf("PCR 20 reset from locality 2: %v", err)
		}
	}
}

// A key and a session that were saved at one locality are loaded at another, where a policy does not take the one for the other: the chip looks at the
// locality of the command that uses them.
func TestContextsAcrossLocalities(t *testing.T) {
	m := openLocated(t)
	home, away := from(t, m, 0), from(t, m, 3)
	parent := primary(t, away)
	template := tpmtest.RSATemplate()
	template.ObjectAttributes.UserWithAuth = false
	template.AuthPolicy.Buffer = localityPolicy(t, away)
	key, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(template)}.Execute(away)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := tpm2.ContextSave{SaveHandle: key.ObjectHandle}.Execute(away)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tpm2.ContextLoad{Context: saved.Context}.Execute(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := signAt(home, loaded.LoadedHandle, key.Name); !errors.Is(err, tpm2.TPMRCLocality) {
		t.Errorf("signed at locality 0 with a key of locality 3: %v", err)
	}
	if err := signAt(away, key.ObjectHandle, key.Name); err != nil {
		t.Errorf("signed at locality 3: %v", err)
	}
	tpm2.FlushContext{FlushHandle: parent.Handle}.Execute(away)
}

// policyLocality is TPM2_PolicyLocality (Part 3, 23.8) of locality 3 alone.
func policyLocality(tpm tpmtest.Sender, session tpm2.TPMHandle) error {
	response, err := tpm.Send(wire.NewMessage(tpm2.TPMSTNoSessions, uint32(tpm2.TPMCCPolicyLocality)).Uint32(uint32(session)).Uint8(1 << 3).Bytes())
	if err != nil {
		return err
	}
	if h, _ := wire.ParseHeader(response); h.Code != 0 {
		return tpm2.TPMRC(h.Code)
	}
	return nil
}

// localityPolicy is the digest of a policy that asks for locality 3.
func localityPolicy(t *testing.T, tpm tpmtest.Sender) []byte {
	t.Helper()
	trial, end, err := tpm2.PolicySession(tpm, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := policyLocality(tpm, trial.Handle()); err != nil {
		t.Fatal(err)
	}
	digest, err := tpm2.PolicyGetDigest{PolicySession: trial.Handle()}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return digest.PolicyDigest.Buffer
}

// signAt signs with a key whose policy asks for locality 3.
func signAt(tpm tpmtest.Sender, handle tpm2.TPMHandle, name tpm2.TPM2BName) error {
	policy := tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(tpm transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		return policyLocality(tpm, session)
	})
	_, err := tpm2.Sign{KeyHandle: tpm2.AuthHandle{Handle: handle, Name: name, Auth: policy}, Digest: tpm2.TPM2BDigest{Buffer: make([]byte, 32)},
		InScheme:   tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}}.Execute(tpm)
	return err
}

// A chip that comes back is told the locality again: swtpm keeps it, and something else may have set another one.
func TestLocalityAfterAFailure(t *testing.T) {
	c := &failingChip{}
	m := rm.New(rm.Config{Localities: true, Sharing: rm.Alone, Open: func() (rm.Chip, error) { return c, nil }})
	defer m.Close()
	s, err := m.Open(rm.Options{Locality: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(s); err == nil {
			t.Error("a chip that fails has answered")
		}
	}
	if !slices.Equal(c.set, []uint8{2, 2}) {
		t.Errorf("localities that were set: %v", c.set)
	}
	c.refuse = true
	if _, err := (tpm2.GetRandom{BytesRequested: 8}).Execute(s); err == nil || len(c.sent) > 2 {
		t.Errorf("without its locality: %v; %d commands were sent", err, len(c.sent))
	}
}

// failingChip takes localities, and fails each command.
type failingChip struct {
	set    []uint8
	sent   [][]byte
	refuse bool
}

func (c *failingChip) SetLocality(locality uint8) error {
	if c.refuse {
		return errors.New("no")
	}
	c.set = append(c.set, locality)
	return nil
}

func (c *failingChip) Send(command []byte) ([]byte, error) {
	if slices.Equal(command[6:10], []byte{0, 0, 1, 0x7b}) {
		c.sent = append(c.sent, command)
		return nil, errors.New("gone")
	}
	return []byte{0x80, 1, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, nil // TPM2_GetCapability: no handles
}

func (c *failingChip) Close() error { return nil }

func TestNoSuchLocality(t *testing.T) {
	for _, row := range []struct {
		localities bool
		locality   uint8
		want       string
	}{{false, 0, ""}, {true, 4, ""}, {false, 1, "nothing but 0 reaches this chip; the kernel offers no other"}, {true, 5, "there are 0 to 4"}, {true, 32, "there are 0 to 4"}} {
		m := rm.New(rm.Config{Localities: row.localities})
		_, err := m.Open(rm.Options{Locality: row.locality})
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("locality %d, offered %v: %v", row.locality, row.localities, err)
		}
		m.Close()
	}
}

// What a client was granted holds instead of what all have.
func TestLimitsOfAClient(t *testing.T) {
	b := newBench(t, tpmtest.SWTPM(t), rm.Alone)
	s, err := b.Open(rm.Options{UID: nobody, Limits: rm.Limits{Objects: 1, Sessions: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	primary(t, s)
	second := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpmtest.SRKTemplate())}
	if _, err := second.Execute(s); !errors.Is(err, tpm2.TPMRC(0x000B0902)) {
		t.Errorf("a second key: %v", err)
	}
	for i := range 2 {
		if _, _, err := tpm2.HMACSession(s, tpm2.TPMAlgSHA256, 16); (err == nil) != (i == 0) || i > 0 && !errors.Is(err, tpm2.TPMRC(0x000B0903)) {
			t.Errorf("session %d: %v", i, err)
		}
	}
	other := b.space(t, nobody)
	primary(t, other)
	primary(t, other)
}
