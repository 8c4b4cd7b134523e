package rm_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"tpmkey.example/filter"
	"tpmkey.example/rm"
	"tpmkey.example/rm/tpmtest"
)

// Who may move keys is what an administrator says, in a profile like this one.
const sshUsersProfile = `profile ssh from migrate: only the ssh user may move keys
allow TPM2_Duplicate: export a key to another parent
    caller is uid 1000
    handle 1 is own rsa key
    handle 2 is own object or null
allow TPM2_Import: bring an exported RSA key to the chip
    caller is uid 1000
    handle 1 is own storage parent or srk
    objectPublic is an unrestricted rsa key
allow TPM2_LoadExternal: the public part of the other TPM's parent
    caller is uid 1000
    inPrivate is empty
`

// migrationPolicy is PolicyCommandCode(TPM2_Duplicate), then PolicyAuthValue: whoever knows the key's password may move it.
func migrationPolicy() []byte {
	digest := make([]byte, sha256.Size)
	for _, step := range [][]uint32{{uint32(tpm2.TPMCCPolicyCommandCode), uint32(tpm2.TPMCCDuplicate)}, {uint32(tpm2.TPMCCPolicyAuthValue)}} {
		for _, v := range step {
			digest = binary.BigEndian.AppendUint32(digest, v)
		}
		sum := sha256.Sum256(digest)
		digest = sum[:]
	}
	return digest
}

// movable makes a key that can leave with the migration password.
func movable(t *testing.T, tpm transport.TPM, password string) files {
	t.Helper()
	area := template(false)
	area.ObjectAttributes.FixedTPM, area.ObjectAttributes.FixedParent = false, false
	area.AuthPolicy.Buffer = migrationPolicy()
	r, err := tpm2.Create{ParentHandle: primary(t, tpm), InPublic: tpm2.New2B(area), InSensitive: tpm2.TPM2BSensitiveCreate{
		Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(password)}}}}.Execute(tpm)
	if err != nil {
		t.Fatal(err)
	}
	return files{r.OutPrivate, r.OutPublic}
}

// duplicate exports a key to the parent that another TPM shows the public part of.
func duplicate(k key, password string, parent tpm2.TPM2BPublic) (*tpm2.DuplicateResponse, error) {
	policy := func(tpm transport.TPM, handle tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		if _, err := (tpm2.PolicyCommandCode{PolicySession: handle, Code: tpm2.TPMCCDuplicate}).Execute(tpm); err != nil {
			return err
		}
		_, err := tpm2.PolicyAuthValue{PolicySession: handle}.Execute(tpm)
		return err
	}
	target, err := tpm2.LoadExternal{InPublic: parent, Hierarchy: tpm2.TPMRHNull}.Execute(k.tpm)
	if err != nil {
		return nil, err
	}
	return tpm2.Duplicate{
		ObjectHandle: tpm2.AuthHandle{Handle: k.handle.Handle, Name: k.handle.Name,
			Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, policy, tpm2.Auth([]byte(password)))},
		NewParentHandle: tpm2.NamedHandle{Handle: target.ObjectHandle, Name: target.Name},
		Symmetric:       tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}.Execute(k.tpm)
}

// The proposal of 2017: the ssh user moves a key to another machine. A network daemon with the strong filter cannot, although it has the key's files and knows
// the migration password, and neither can another user under the ssh user's filter.
func TestMigration(t *testing.T) {
	ssh, err := filter.Parse(sshUsersProfile)
	if err != nil {
		t.Fatal(err)
	}
	from, to := newBench(t, tpmtest.SWTPM(t), rm.Alone), newBench(t, tpmtest.Simulator(t), rm.Alone)
	open := func(b *bench, uid uint32, f *filter.Filter) *rm.Space {
		s, err := b.Open(rm.Options{UID: uid, Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	user, target := open(from, 1000, ssh), open(to, 1000, ssh)
	f := movable(t, user, "migrate")
	parent, err := tpm2.ReadPublic{ObjectHandle: primary(t, target).Handle}.Execute(target)
	if err != nil {
		t.Fatal(err)
	}

	daemon := f.load(t, open(from, 33, nil))
	if err := daemon.try("migrate"); err != nil {
		t.Errorf("the daemon may use the key: %v", err)
	}
	reached := from.commands(func() {
		_, err := duplicate(daemon, "migrate", parent.OutPublic)
		wantRC(t, "the daemon moves the key", err, filter.RCDenied)
		_, err = tpm2.Duplicate{ObjectHandle: daemon.handle, NewParentHandle: tpm2.TPMRHNull, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}.Execute(daemon.tpm)
		wantRC(t, "the daemon moves the key to nobody", err, filter.RCDenied)
	})
	if reached != 0 {
		t.Errorf("%d of the daemon's commands reached the chip", reached)
	}
	other := f.load(t, open(from, 1001, ssh))
	_, err = duplicate(other, "migrate", parent.OutPublic)
	wantRC(t, "another user moves the key", err, filter.RCDenied)

	k := f.load(t, user)
	_, err = duplicate(k, "wrong", parent.OutPublic)
	wantRC(t, "a wrong migration password", err, 0x9A2)
	moved, err := duplicate(k, "migrate", parent.OutPublic)
	if err != nil {
		t.Fatal(err)
	}
	importKey := func(s *rm.Space) (*tpm2.ImportResponse, error) {
		return tpm2.Import{ParentHandle: primary(t, s), ObjectPublic: f.public, Duplicate: moved.Duplicate, InSymSeed: moved.OutSymSeed,
			Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}.Execute(s)
	}
	_, err = importKey(open(to, 33, nil))
	wantRC(t, "a daemon on the other machine brings the key in", err, filter.RCDenied)
	imported, err := importKey(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := (files{imported.OutPrivate, f.public}).load(t, target).try("migrate"); err != nil {
		t.Errorf("the key does not sign on the other machine: %v", err)
	}
	fixed := newKey(t, user, false, "migrate")
	if _, err := duplicate(fixed, "migrate", parent.OutPublic); err == nil {
		t.Error("a key that is fixed to its TPM was moved")
	}
}
